"""What tests ask child processes to do; the children import it by name."""

import os
import signal
from pathlib import Path

from benchmarks import measuring, shim
from benchmarks.child import Session
from benchmarks.data import WRITE, key_of


def fail(session: Session) -> None:
    raise ValueError("on purpose")


def die(session: Session) -> None:
    os.write(2, b"last words")
    os.kill(os.getpid(), signal.SIGKILL)


def process(session: Session) -> int:
    return os.getpid()


def flush(session: Session, folder: Path, count: int) -> tuple[int | None, int | None, int | None]:
    """Flushes counted before, after plain writes, and after flushes of every kind."""
    before = shim.flushes()
    with (folder / "plain").open("wb", buffering=0) as file:
        for _ in range(count):
            file.write(b"x")
        plain = shim.flushes()
        for _ in range(count):
            os.fsync(file.fileno())
            os.fdatasync(file.fileno())
    descriptor = os.open(folder / "synced", os.O_CREAT | os.O_WRONLY | os.O_DSYNC)
    for _ in range(count):
        os.pwrite(descriptor, b"x", 0)
    os.close(descriptor)
    return before, plain, shim.flushes()


def write_behind_the_model(session: Session, name: str, number: int) -> None:
    """Write a record without telling the model."""
    value = session.models[name].values.of(number, 1_000_000)
    session.stores[name].run([(WRITE, key_of(number), value)])


def forget_a_write(session: Session, name: str, number: int) -> None:
    """Let the model believe in one more write than there was."""
    session.models[name].writes[number] += 1


def verify(session: Session, name: str) -> str:
    return str(measuring.verify_store(session, name))
