"""The command line `holdfast`: look into a database, change it, move data, measure.

`main` is the entry point. Typer and rich are loaded when it runs, so importing this package asks
for neither; without them it says which extra brings them.
"""

from __future__ import annotations

import codecs
import io
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import nullcontext

from holdfast.contract.errors import DriverMissing


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code, see `holdfast.cli.exits`. Never raises, never prints a trace.

    Args:
        arguments: what follows the program's name; left out, those of the process.
    """
    from holdfast.cli import exits

    given = list(sys.argv[1:] if arguments is None else arguments)
    _open_what_is_closed()
    _print_any_text()
    try:
        return _app_run(given)
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except (BrokenPipeError, exits.ReaderGone):
        # Whoever read the output has seen enough (`| head`). What is still buffered goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.OK
    except Exception as error:
        if os.environ.get("HOLDFAST_DEBUG") == "1":
            raise
        return exits.report(error, as_json="--json" in given)


def _app_run(arguments: list[str]) -> int:
    try:
        from holdfast.cli import completing
        from holdfast.cli.app import run
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("typer", "rich"):
            raise
        raise DriverMissing(
            f"the command line needs the module {error.name}, which is not installed; "
            'pip install "holdfast-db[cli]"',
            extra="cli",
        ) from error
    _listen()
    before = completing.prepare(os.environ)
    with completing.without(before) if before else nullcontext():
        code = run(arguments)
    # Here and not at the exit of the process, where a broken pipe could no longer be handled.
    sys.stdout.flush()
    return code


def _open_what_is_closed() -> None:
    """Put the null device where a script closed a stream (`>&-`).

    Python has None there, and the next file that is opened has the number of the stream: a line for
    stderr, of whatever library, would go into the database.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)  # The lowest that is free: that of the stream.
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - to the end


def _print_any_text() -> None:
    """Have any text fit stdout, whatever the locale: values are Unicode.

    Programs that read a pipe or a file take JSON as UTF-8; a terminal shows what it has no
    characters for as escapes, and so does an encoding that was asked for.
    """
    out = sys.stdout
    if not isinstance(out, io.TextIOWrapper) or codecs.lookup(out.encoding).name == "utf-8":
        return
    if out.isatty() or os.environ.get("PYTHONIOENCODING"):
        out.reconfigure(errors="backslashreplace")
    else:
        out.reconfigure(encoding="utf-8")


def _listen() -> None:
    """Take interrupts as exceptions again, now that they are handled; see `holdfast_command`."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
