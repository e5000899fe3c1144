/* A medium that forgets what was not flushed, or takes its time over flushes. Preloaded.
 *
 * Every write to a file below HOLDFAST_CRASH_FOLDER is remembered and goes into the file's image,
 * below HOLDFAST_CRASH_IMAGE, only when the file is flushed: by fsync, by fdatasync, or because it
 * was opened with O_DSYNC or O_SYNC. What is not flushed never gets there. So the images are the
 * worst that may be found after the power went: all that was flushed, and nothing else.
 *
 * With HOLDFAST_FLUSH_MS each of those flushes takes so many milliseconds longer.
 *
 * Names: by default a name made or removed is on the medium at once, and renames are refused. With
 * HOLDFAST_CRASH_NAMES=late, names made, changed and removed get there when their directory is
 * flushed, and not before: a rename or removal that nobody flushed is undone. With =early they get
 * there at once, renames too. Then images are of files, whatever their names, and lie beside the
 * image's folder, in one that ends in `.files`; an image's names are links to them. Both folders
 * are fresh; what lies in the folder of the database when the process starts is on the medium.
 *
 * Kept simple: files that were never flushed have no image (late and early: an empty one). A write through a memory map is not seen, and nothing here relies on one:
 * LMDB runs without MDB_WRITEMAP, SQLite without mmap_size, and its -shm file is made anew.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define FILES_MAX 1024

/* One thing done to a file since it was last flushed. */
struct step {
  struct step *next;
  off_t at;      /* where bytes were written, or the new length */
  size_t count;  /* how many bytes */
  int truncates; /* a change of length instead of a write */
  char bytes[];
};

struct file {
  dev_t device;
  ino_t inode;
  int image; /* descriptor of the image; -1 until the first flush */
  char name[PATH_MAX];
  struct step *first, **last;
};

static struct file files[FILES_MAX];
static int file_count = 0;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* One flush at a time, so that images receive what was written in the order of writing. */
static pthread_mutex_t flushing = PTHREAD_MUTEX_INITIALIZER;
static const char *folder = NULL, *image_folder = NULL;
static long flush_ms = 0;
/* How names reach the medium: see above. */
static enum { AT_ONCE, EARLY, LATE } names = AT_ONCE;

static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off_t);
static int (*real_unlink)(const char *);
static int (*real_rename)(const char *, const char *);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off_t);

static void begin_with(const char *name);

__attribute__((constructor)) static void prepare(void) {
  real_fsync = dlsym(RTLD_NEXT, "fsync");
  real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
  real_ftruncate = dlsym(RTLD_NEXT, "ftruncate");
  real_unlink = dlsym(RTLD_NEXT, "unlink");
  real_rename = dlsym(RTLD_NEXT, "rename");
  real_write = dlsym(RTLD_NEXT, "write");
  real_writev = dlsym(RTLD_NEXT, "writev");
  real_pwrite = dlsym(RTLD_NEXT, "pwrite");
  real_pwritev = dlsym(RTLD_NEXT, "pwritev");
  folder = getenv("HOLDFAST_CRASH_FOLDER");
  image_folder = getenv("HOLDFAST_CRASH_IMAGE");
  const char *text = getenv("HOLDFAST_FLUSH_MS");
  if (text != NULL) flush_ms = atol(text);
  text = getenv("HOLDFAST_CRASH_NAMES");
  if (text != NULL && folder != NULL) {
    names = strcmp(text, "late") == 0 ? LATE : EARLY;
    begin_with("");
  }
}

static void take_time(void) {
  int kept = errno;
  struct timespec rest = {flush_ms / 1000, flush_ms % 1000 * 1000000};
  while (flush_ms > 0 && nanosleep(&rest, &rest) != 0 && errno == EINTR) {
  }
  errno = kept;
}

/* A shim that goes on when it cannot do its work would let a test pass that proves nothing. */
static void fail(const char *what) {
  dprintf(2, "medium: %s: %s\n", what, strerror(errno));
  _exit(70);
}

static const char *below(const char *path) {
  size_t length = folder == NULL ? 0 : strlen(folder);
  if (length == 0 || image_folder == NULL) return NULL;
  if (strncmp(path, folder, length) != 0 || path[length] != '/') return NULL;
  return path + length + 1;
}

static void image_path(const char *name, char *path) {
  if (snprintf(path, PATH_MAX, "%s/%s", image_folder, name) >= PATH_MAX) fail("path too long");
}

/* The file behind a descriptor, if it lies in the folder. The lock is held. */
static struct file *file_of(int descriptor) {
  struct stat state;
  if (folder == NULL || fstat(descriptor, &state) != 0 || !S_ISREG(state.st_mode)) return NULL;
  for (int index = 0; index < file_count; index++)
    if (files[index].device == state.st_dev && files[index].inode == state.st_ino)
      return files[index].name[0] ? &files[index] : NULL;
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) fail("readlink");
  path[length] = 0;
  const char *name = below(path);
  if (name == NULL) return NULL;
  if (file_count == FILES_MAX) fail("too many files");
  struct file *file = &files[file_count++];
  file->device = state.st_dev;
  file->inode = state.st_ino;
  file->image = -1;
  strcpy(file->name, name);
  file->first = NULL;
  file->last = &file->first;
  return file;
}

/* --- Names that are on the medium, and those that are not yet --------------------------------- */

/* Where the image of a file lies that names link to. */
static void file_path(ino_t inode, char *path) {
  if (snprintf(path, PATH_MAX, "%s.files/%lu", image_folder, (unsigned long)inode) >= PATH_MAX)
    fail("path too long");
}

static int open_file_image(ino_t inode) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s.files", image_folder);
  if (mkdir(path, 0700) != 0 && errno != EEXIST) fail("mkdir");
  file_path(inode, path);
  int image = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (image < 0) fail("open");
  return image;
}

static void join(char *path, const char *base, const char *name, const char *entry) {
  const char *slash = name[0] ? "/" : "";
  if (snprintf(path, PATH_MAX, "%s%s%s/%s", base, slash, name, entry) >= PATH_MAX)
    fail("path too long");
}

/* Let a name of the image be that of a file's image. */
static void link_name(const char *name, const char *entry, ino_t inode) {
  char image[PATH_MAX], source[PATH_MAX], beside[PATH_MAX];
  struct stat there, wanted;
  join(image, image_folder, name, entry);
  close(open_file_image(inode));
  file_path(inode, source);
  if (stat(source, &wanted) != 0) fail("stat");
  if (stat(image, &there) == 0 && there.st_ino == wanted.st_ino) return;
  snprintf(beside, sizeof beside, "%s.files/link", image_folder);
  real_unlink(beside);
  if (link(source, beside) != 0) fail("link");
  if (real_rename(beside, image) != 0) fail("rename");
}

static int in_image(const char *name, const char *entry) {
  char image[PATH_MAX];
  struct stat there;
  join(image, image_folder, name, entry);
  return stat(image, &there) == 0;
}

/* The names of a directory, relative to the folder, are on the medium. The lock is held.
 *
 * The process may be killed in here. No file system has a file renamed that was made after another
 * one without that other one: so new names come first, then those that mean another file by now.
 */
static void sync_names(const char *name) {
  char path[PATH_MAX];
  struct dirent *entry;
  struct stat state;
  join(path, folder, name, ".");
  DIR *directory = opendir(path);
  if (directory == NULL) return; /* Removed meanwhile. */
  for (int made = 1; made >= 0; made--) {
    rewinddir(directory);
    while ((entry = readdir(directory)) != NULL) {
      if (entry->d_name[0] == '.' && (!entry->d_name[1] || !strcmp(entry->d_name, ".."))) continue;
      if (made && in_image(name, entry->d_name)) continue;
      join(path, folder, name, entry->d_name);
      if (stat(path, &state) != 0) continue;
      if (S_ISREG(state.st_mode)) {
        link_name(name, entry->d_name, state.st_ino);
      } else if (S_ISDIR(state.st_mode)) {
        join(path, image_folder, name, entry->d_name);
        if (mkdir(path, 0700) != 0 && errno != EEXIST) fail("mkdir");
      }
    }
  }
  closedir(directory);
  join(path, image_folder, name, ".");
  directory = opendir(path);
  if (directory == NULL) fail("a directory was flushed before its own name was");
  while ((entry = readdir(directory)) != NULL) {
    join(path, folder, name, entry->d_name);
    if (stat(path, &state) != 0) {
      join(path, image_folder, name, entry->d_name);
      real_unlink(path);
    }
  }
  closedir(directory);
}

/* The directory that a path below the folder lies in, relative to the folder. */
static void parent_of(const char *path, char *name) {
  snprintf(name, PATH_MAX, "%s", below(path));
  char *slash = strrchr(name, '/');
  if (slash == NULL) slash = name;
  *slash = 0;
}

/* What lies in a directory and below when the process starts is on the medium. */
static void begin_with(const char *name) {
  char path[PATH_MAX], bytes[65536];
  struct dirent *entry;
  struct stat state;
  join(path, folder, name, ".");
  DIR *directory = opendir(path);
  if (directory == NULL) return;
  sync_names(name);
  while ((entry = readdir(directory)) != NULL) {
    if (entry->d_name[0] == '.') continue;
    join(path, folder, name, entry->d_name);
    if (stat(path, &state) != 0) continue;
    if (S_ISREG(state.st_mode)) {
      int from = open(path, O_RDONLY | O_CLOEXEC), to = open_file_image(state.st_ino);
      ssize_t count;
      while ((count = read(from, bytes, sizeof bytes)) > 0)
        if (real_write(to, bytes, count) != count) fail("write");
      close(from);
      close(to);
    } else if (S_ISDIR(state.st_mode)) {
      char inner[PATH_MAX];
      if (snprintf(inner, sizeof inner, "%s%s%s", name, name[0] ? "/" : "", entry->d_name) >= PATH_MAX)
        fail("path too long");
      begin_with(inner);
    }
  }
  closedir(directory);
}

/* A directory was flushed. The lock is held. */
static void flushed_directory(int descriptor) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) fail("readlink");
  path[length] = 0;
  if (strcmp(path, folder) == 0) sync_names("");
  else if (below(path) != NULL) sync_names(below(path));
}

static void open_image(struct file *file) {
  if (names != AT_ONCE) {
    file->image = open_file_image(file->inode);
    return;
  }
  char path[PATH_MAX];
  image_path(file->name, path);
  for (char *slash = path + strlen(image_folder) + 1; (slash = strchr(slash, '/')); slash++) {
    *slash = 0;
    if (mkdir(path, 0700) != 0 && errno != EEXIST) fail("mkdir");
    *slash = '/';
  }
  file->image = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file->image < 0) fail("open");
}

static void apply(struct file *file, const struct step *step) {
  if (file->image < 0) open_image(file);
  if (step->truncates) {
    if (real_ftruncate(file->image, step->at) != 0) fail("ftruncate");
    return;
  }
  size_t done = 0;
  while (done < step->count) {
    ssize_t more = real_pwrite(file->image, step->bytes + done, step->count - done, step->at + done);
    if (more < 0) fail("pwrite");
    done += more;
  }
}

static int reaches_the_medium(int descriptor) {
  int flags = fcntl(descriptor, F_GETFL);
  return flags != -1 && (flags & O_DSYNC); /* O_SYNC contains the bit of O_DSYNC. */
}

/* Something was done to a file: keep it for the next flush, or apply it where it is one itself. */
static void note(int descriptor, struct step *step) {
  int kept = errno;
  pthread_mutex_lock(&lock);
  struct file *file = file_of(descriptor);
  if (file == NULL || reaches_the_medium(descriptor)) {
    if (file != NULL) apply(file, step);
    free(step);
  } else {
    *file->last = step;
    file->last = &step->next;
  }
  pthread_mutex_unlock(&lock);
  errno = kept;
}

static struct step *new_step(off_t at, size_t count, int truncates) {
  struct step *step = malloc(sizeof *step + count);
  if (step == NULL) fail("malloc");
  step->next = NULL;
  step->at = at;
  step->count = count;
  step->truncates = truncates;
  return step;
}

static void wrote(int descriptor, const void *bytes, ssize_t count, off_t at) {
  if (flush_ms > 0 && reaches_the_medium(descriptor)) take_time();
  if (count <= 0 || folder == NULL) return;
  struct step *step = new_step(at, count, 0);
  memcpy(step->bytes, bytes, count);
  note(descriptor, step);
}

static void wrote_parts(int descriptor, const struct iovec *parts, ssize_t count, off_t at) {
  if (count <= 0 || folder == NULL) return;
  struct step *step = new_step(at, count, 0);
  size_t done = 0;
  for (int index = 0; done < (size_t)count; index++) {
    size_t more = parts[index].iov_len;
    if (more > (size_t)count - done) more = (size_t)count - done;
    memcpy(step->bytes + done, parts[index].iov_base, more);
    done += more;
  }
  note(descriptor, step);
}

/* What was done before the flush began is on the medium once it has ended. */
static int flush(int descriptor, int (*real)(int)) {
  pthread_mutex_lock(&flushing);
  pthread_mutex_lock(&lock);
  struct file *file = file_of(descriptor);
  struct step *step = NULL;
  if (file != NULL) {
    step = file->first;
    file->first = NULL;
    file->last = &file->first;
  }
  pthread_mutex_unlock(&lock);
  int result = real(descriptor);
  take_time();
  int kept = errno;
  pthread_mutex_lock(&lock);
  struct stat state;
  if (names != AT_ONCE && result == 0 && fstat(descriptor, &state) == 0 && S_ISDIR(state.st_mode))
    flushed_directory(descriptor);
  if (file != NULL && file->image < 0) open_image(file);
  while (step != NULL) {
    struct step *next = step->next;
    if (result == 0 && file->name[0]) apply(file, step);
    free(step);
    step = next;
  }
  pthread_mutex_unlock(&lock);
  pthread_mutex_unlock(&flushing);
  errno = kept;
  return result;
}

int fsync(int descriptor) { return flush(descriptor, real_fsync); }

int fdatasync(int descriptor) { return flush(descriptor, real_fdatasync); }

ssize_t pwrite(int descriptor, const void *bytes, size_t count, off_t at) {
  ssize_t result = real_pwrite(descriptor, bytes, count, at);
  wrote(descriptor, bytes, result, at);
  return result;
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t count, off64_t at) {
  return pwrite(descriptor, bytes, count, at);
}

ssize_t pwritev(int descriptor, const struct iovec *parts, int count, off_t at) {
  ssize_t result = real_pwritev(descriptor, parts, count, at);
  wrote_parts(descriptor, parts, result, at);
  return result;
}

ssize_t pwritev64(int descriptor, const struct iovec *parts, int count, off64_t at) {
  return pwritev(descriptor, parts, count, at);
}

ssize_t write(int descriptor, const void *bytes, size_t count) {
  ssize_t result = real_write(descriptor, bytes, count);
  if (descriptor > 2 && result > 0) {
    int kept = errno;
    off_t end = lseek(descriptor, 0, SEEK_CUR);
    errno = kept;
    if (end >= result) wrote(descriptor, bytes, result, end - result);
  }
  return result;
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
  ssize_t result = real_writev(descriptor, parts, count);
  if (descriptor > 2 && result > 0) {
    int kept = errno;
    off_t end = lseek(descriptor, 0, SEEK_CUR);
    errno = kept;
    if (end >= result) wrote_parts(descriptor, parts, result, end - result);
  }
  return result;
}

int ftruncate(int descriptor, off_t length) {
  int result = real_ftruncate(descriptor, length);
  if (result == 0 && folder != NULL) note(descriptor, new_step(length, 0, 1));
  return result;
}

int ftruncate64(int descriptor, off64_t length) { return ftruncate(descriptor, length); }

/* Forget the file under a name; its image is somebody else's affair from now on. */
static void forget(const char *path) {
  struct stat state;
  if (below(path) == NULL || stat(path, &state) != 0) return;
  if (names != AT_ONCE && state.st_nlink == 1) {
    /* The number may be given to another file; names of the image keep what they link to. */
    char image[PATH_MAX];
    file_path(state.st_ino, image);
    real_unlink(image);
  }
  for (int index = 0; index < file_count; index++)
    if (files[index].device == state.st_dev && files[index].inode == state.st_ino) {
      files[index].name[0] = 0;
      files[index].inode = 0; /* The number may be given to another file. */
    }
}

int unlink(const char *path) {
  char image[PATH_MAX], parent[PATH_MAX];
  int kept = errno;
  pthread_mutex_lock(&lock);
  forget(path);
  if (names == AT_ONCE && below(path) != NULL) {
    image_path(below(path), image);
    real_unlink(image);
  }
  errno = kept;
  int result = real_unlink(path);
  kept = errno;
  if (names == EARLY && below(path) != NULL) {
    parent_of(path, parent);
    sync_names(parent);
  }
  errno = kept;
  pthread_mutex_unlock(&lock);
  return result;
}

int rename(const char *from, const char *to) {
  char parent[PATH_MAX];
  if (below(from) == NULL && below(to) == NULL) return real_rename(from, to);
  if (names == AT_ONCE) fail("a file was renamed, which is not kept track of");
  pthread_mutex_lock(&lock);
  forget(to);
  int result = real_rename(from, to);
  int kept = errno;
  if (names == EARLY) {
    parent_of(to, parent);
    sync_names(parent);
  }
  errno = kept;
  pthread_mutex_unlock(&lock);
  return result;
}
