"""Programs that end without closing: what was acknowledged is on the medium all the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import holdfast.sync
from tests import needs
from tests.faults.modes import KEPT, url_of

ROOT = Path(__file__).parents[2]

#: Nothing but the end of the process has a reason to flush.
LEFT = """
import os, sys, threading
import holdfast.sync

db = holdfast.sync.open(sys.argv[1])
if sys.argv[2] == "held":  # By a thread that never ends: nothing collects the database.
    threading.Thread(target=lambda held: threading.Event().wait(), args=(db,), daemon=True).start()
for number in range(20):
    db.entries.set(f"n:{number}", number)
os.write(1, b"<<told>>\\n")
"""

SYNC = re.compile(r"f(?:data)?sync\(\d+<([^>]*)>")


@needs.strace
@pytest.mark.parametrize("held", ["held", "let go"])
@pytest.mark.parametrize("mode", [mode for mode in KEPT if "relaxed" in mode])
def test_what_was_acknowledged_is_flushed_when_the_process_ends(
    mode: str, held: str, tmp_path: Path
) -> None:
    url = url_of(mode, tmp_path) + "&flush_interval=3600"
    trace = tmp_path / "trace"
    done = subprocess.run(
        [
            *("strace", "-f", "-y", "-e", "trace=fsync,fdatasync,write", "-o", str(trace)),
            *(sys.executable, "-c", LEFT, url, held),
        ],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    assert done.stderr == ""
    _, found, after = trace.read_text().partition("<<told>>")
    assert found
    flushed = SYNC.findall(after)
    assert [path for path in flushed if path.startswith(str(tmp_path / "app"))], flushed
    with holdfast.sync.open(url) as db:
        found_now = db.entries.get_many([f"n:{number}" for number in range(20)])
        assert [entry.value for entry in found_now.values()] == list(range(20))
        assert db.check() == []
