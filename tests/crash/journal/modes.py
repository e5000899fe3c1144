"""How the tests of this folder open a database."""

from __future__ import annotations

from tests.crash.test_kills import Mode

#: The smallest journal: its halves change after a hundred commits or so.
SMALL = 64 * 1024

JOURNAL = Mode(
    "lmdb", "full", options=f"&journal={SMALL}", program="tests.crash.journal.writer"
)  # fmt: skip
