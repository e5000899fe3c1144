"""How a command ends: the exit codes, and an error as one line on stderr."""

from __future__ import annotations

import sys
from typing import Any

from holdfast.cli import shown
from holdfast.codecs import typed_json
from holdfast.contract import errors
from holdfast.contract.errors import StoreError

OK = 0
#: The asked-for thing is not there, or a check found something.
ABSENT = 1
#: The command or its input is wrong; nothing was done.
USAGE = 2
#: Somebody else was faster, or a condition does not hold; nothing was written.
CONFLICT = 3
#: The storage, the driver's medium or the way to it failed.
STORAGE = 4

#: Ctrl-C, as shells tell it of any program.
INTERRUPTED = 130

MEANINGS = {
    OK: "done",
    ABSENT: "what was asked for is not there, or a check found something",
    USAGE: "the command or its input is wrong",
    CONFLICT: "conflict: a condition does not hold, nothing was written",
    STORAGE: "the storage failed",
}

_ABSENT = (
    errors.KeyNotFound,
    errors.StoreNotFound,
    errors.VersionNotFound,
    errors.SchemaNotFound,
    errors.IndexNotFound,
    errors.Compacted,
)
_CONFLICT = (
    errors.Conflict,
    errors.DuplicateKey,
    errors.IndexExists,
    errors.TransactionAborted,
    errors.DeadlockDetected,
)
_USAGE = (
    # Every error of input is a ValueError too.
    ValueError,
    errors.EngineNotFound,
    errors.DriverMissing,
    errors.SerializationFailed,
    errors.SchemaValidationFailed,
    errors.Unsupported,
    errors.ReadOnly,
)


class BadUsage(ValueError):
    """The command line asks for what cannot be; the message says what can."""


class ReaderGone(Exception):
    """Whoever read the output is gone. No OSError, because typer ends the process on those."""


def exit_code(error: Exception) -> int:
    """The exit code that stands for the error."""
    if isinstance(error, _ABSENT):
        return ABSENT
    if isinstance(error, _CONFLICT):
        return CONFLICT
    if isinstance(error, _USAGE) or hasattr(error, "format_message"):
        return USAGE
    return STORAGE


def report(error: Exception, *, as_json: bool) -> int:
    """Print the error on stderr, as one line or one JSON document; its exit code."""
    code, message, retryable, details = _facts(error)
    if as_json:
        document = {"code": code, "message": message, "retryable": retryable, "details": details}
        line = typed_json.text_of({"error": document})
    else:
        line = shown.safe(f"error: {code}: {' '.join(message.split())}")
    print(line, file=sys.stderr)
    return exit_code(error)


def _facts(error: Exception) -> tuple[str, str, bool, dict[str, Any]]:
    if isinstance(error, StoreError):
        return error.code, error.message, error.retryable, _plain(error.details)
    if isinstance(error, BadUsage):
        return "USAGE", str(error), False, {}
    # Typer's own errors, recognised by shape: their classes moved between its versions.
    format_message = getattr(error, "format_message", None)
    if format_message is not None:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "holdfast"
        said = format_message().rstrip()
        stop = "" if said.endswith((".", "?", "!")) else "."
        return "USAGE", f"{said}{stop} See {command} --help", False, {}
    if isinstance(error, OSError):
        place = f" ({error.filename})" if error.filename else ""
        return "OPERATION_FAILED", f"{error.strerror or error}{place}", False, {}
    return (
        "OPERATION_FAILED",
        f"unexpected {type(error).__name__}; run again with HOLDFAST_DEBUG=1 and report the trace",
        False,
        {},
    )


def _plain(details: dict[str, Any]) -> dict[str, Any]:
    """Facts that JSON holds; of an entry only its place, never its value."""
    plain: dict[str, Any] = {}
    for name, fact in details.items():
        metadata = getattr(fact, "metadata", None)
        if metadata is not None:
            plain[name] = {"version": metadata.version, "revision": metadata.revision}
        elif fact is None or isinstance(fact, bool | int | float | str):
            # A StoreKey is a str that JSON encoders do not know.
            plain[name] = str(fact) if isinstance(fact, str) else fact
        elif isinstance(fact, list | tuple):
            plain[name] = [part.hex() if isinstance(part, bytes) else str(part) for part in fact]
    return plain
