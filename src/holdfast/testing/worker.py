"""Another process on the database under test: what it runs, and how a promise starts one.

The process imports the author's test class from its file, makes its engine and does one thing,
answering with one JSON object per line:

    python -m holdfast.testing FILE CLASS FOLDER read KEY
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Self

from holdfast.contract.batch import Batch, Put
from holdfast.contract.engine import Engine
from holdfast.contract.errors import StoreError
from holdfast.runtime.system import drive
from holdfast.testing.author import Author
from holdfast.testing.subject import Subject, increment

#: How long another process may take, its start included.
WORKER_TIMEOUT_S = 60.0
#: How a process ends that dies on purpose.
DEATH = 9


class WorkerProcess:
    """A running worker. Ends with the block at the latest."""

    def __init__(self, author: Author, folder: Path, *arguments: str) -> None:
        kind = type(author)
        assert "<" not in kind.__qualname__, (
            f"other processes import the test class, so it stands at the top of its module; "
            f"found {kind.__qualname__}"
        )
        address = [inspect.getfile(kind), kind.__qualname__, str(folder)]
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "holdfast.testing", *address, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,  # Or a line read on its own would take the next ones out of the pipe.
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def line(self) -> dict[str, Any]:
        """The next answer, while the process goes on."""
        assert self._process.stdout is not None
        return self._answer(self._process.stdout.readline())

    def result(self) -> dict[str, Any]:
        """The last answer, once the process has ended."""
        output, trouble = self._process.communicate(timeout=WORKER_TIMEOUT_S)
        assert output.strip(), f"the worker said nothing: {trouble.decode()[-2000:]}"
        return self._answer(output.strip().splitlines()[-1])

    @property
    def exit_code(self) -> int | None:
        return self._process.returncode

    @staticmethod
    def _answer(line: bytes) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(line)
        return answer


def start_worker(subject: Subject, *arguments: str) -> WorkerProcess:
    """Start another process on the subject's database."""
    return WorkerProcess(subject.author, subject.folder, *arguments)


def run_worker(subject: Subject, *arguments: str) -> dict[str, Any]:
    """Run another process on the subject's database to its end; its last answer."""
    with start_worker(subject, *arguments) as worker:
        return worker.result()


# --- In the other process -------------------------------------------------------------------


def _say(**answer: Any) -> None:
    print(json.dumps(answer), flush=True)  # noqa: T201 - the answer is the output


async def _read(engine: Engine, key: str) -> None:
    (record,) = await engine.read([key.encode()])
    _say(value=None if record is None else record.value.decode(), head=await engine.head())


async def _put(engine: Engine, key: str, value: str) -> None:
    receipt = await engine.commit(Batch([Put(key.encode(), value.encode())]))
    _say(revision=receipt.revision)


async def _put_and_die(engine: Engine, key: str, value: str) -> None:
    await _put(engine, key, value)
    os._exit(DEATH)


async def _increment(engine: Engine, key: str, times: str) -> None:
    revisions = []
    for _ in range(int(times)):
        receipt = await engine.transact([key.encode()], increment(key.encode()))
        revisions.append(receipt.revision)
    _say(revisions=revisions)


async def _wait(engine: Engine, after: str) -> None:
    _say(waiting=int(after))
    _say(head=await engine.wait(int(after)))


async def _fork(engine: Engine) -> None:
    """Use the engine in a forked child, then go on in the parent."""
    await engine.commit(Batch([Put(b"key", b"before")]))
    child = os.fork()
    if child == 0:
        # The parent's loop must not turn here, so the child drives.
        _say(child=[_outcome(engine.read([b"key"])), _outcome(engine.commit(_LATE))])
        os._exit(0)
    os.waitpid(child, 0)  # noqa: ASYNC222 - nothing else runs on this loop
    await engine.commit(Batch([Put(b"own", b"")]))
    await _read(engine, "key")


_LATE = Batch([Put(b"key", b"from the child")])


def _outcome(verb: Coroutine[Any, Any, object]) -> str:
    try:
        drive(verb)
    except StoreError as error:
        return error.code
    return "worked"


_ACTIONS: dict[str, Callable[..., Awaitable[None]]] = {
    "read": _read,
    "put": _put,
    "put-and-die": _put_and_die,
    "increment": _increment,
    "wait": _wait,
    "fork": _fork,
}


def _load(file: str, name: str) -> Author:
    spec = importlib.util.spec_from_file_location("holdfast_testing_subject", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    author: Author = getattr(module, name)()
    return author


async def work(file: str, name: str, folder: str, action: str, *arguments: str) -> None:
    """Be the other process: make the engine of the test class, and do one thing with it."""
    author = _load(file, name)
    engine = author.make_engine(author.make_config(Path(folder)), author.make_components())
    try:
        await engine.open()
        await _ACTIONS[action](engine, *arguments)
    except StoreError as error:
        _say(error=error.code)
    finally:
        await engine.close()
