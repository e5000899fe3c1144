"""Network file systems: where locks and shared memory do not hold between machines."""

from __future__ import annotations

import os
from pathlib import Path

from holdfast.contract.errors import ConfigInvalid

NETWORK_FILE_SYSTEMS = frozenset((
    "9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.gcsfuse", "fuse.glusterfs",
    "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4",
    "smb3", "smbfs",
))  # fmt: skip

#: Device, mount point and type stand first in a line of the table of mounts.
_MOUNT_FIELDS = 3


def refuse_network(directory: Path, mounts: str | None = None) -> None:
    """Raise ConfigInvalid where a database file would be damaged sooner or later.

    Args:
        directory: that the database lies in, or will.
        mounts: the table of mounts; the system's own by default. Only Linux has one.
    """
    kind = file_system_of(directory) if mounts is None else file_system(directory, mounts)
    if kind in NETWORK_FILE_SYSTEMS:
        raise ConfigInvalid(
            f"{directory} lies on a network file system ({kind}), whose locks and shared memory "
            "do not hold between machines. Put it on a local disk, or use postgresql",
            found=kind,
        )


def file_system_of(directory: Path) -> str | None:
    """The type of the directory's file system, where the system tells (Linux)."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return file_system(directory, mounts) or None


def file_system(directory: Path, mounts: str) -> str:
    """The type of the file system that the directory is on, or will be."""
    real = os.path.realpath(directory)
    longest, kind = -1, ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < _MOUNT_FIELDS:
            continue
        point = fields[1].encode().decode("unicode_escape") if "\\" in fields[1] else fields[1]
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= longest:  # A later mount on the same point hides the earlier.
            longest, kind = len(point), fields[2]
    return kind
