"""The preloaded library that counts and delays flushes; see `shim.c`."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_SOURCE = Path(__file__).with_name("shim.c")
_DELAY = "HOLDFAST_FLUSH_DELAY_US"
_COUNTER = "holdfast_flushes"


@dataclass(frozen=True)
class Shim:
    """The compiled library.

    Attributes:
        shared_object: where it is.
    """

    shared_object: Path

    def environment(self, delay_us: int = 0) -> dict[str, str]:
        """What a child process needs in its environment, besides what it has."""
        return {"LD_PRELOAD": str(self.shared_object), _DELAY: str(delay_us)}


def compile_shim(folder: Path) -> Shim | None:
    """Build it into the folder; None where there is no C compiler or no preloading."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or not sys.platform.startswith("linux"):
        return None
    library = folder / "shim.so"
    command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(_SOURCE), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return Shim(library)


def flushes() -> int | None:
    """How many flushes this process made; None when it runs without the shim."""
    if _DELAY not in os.environ:
        return None
    return ctypes.c_ulonglong.in_dll(ctypes.CDLL(None), _COUNTER).value
