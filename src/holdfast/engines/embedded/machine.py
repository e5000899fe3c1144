"""Which start of the machine this is: what was not flushed before the last one may be lost."""

from __future__ import annotations

from pathlib import Path


def machine_start() -> str | None:
    """A name for this start of the machine; None where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return None
