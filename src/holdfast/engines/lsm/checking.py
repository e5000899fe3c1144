"""The check of a database: every row is read, with the checksums of the driver, and looked at."""

from __future__ import annotations

from holdfast.contract.errors import IntegrityFailed
from holdfast.engines.lsm import layout
from holdfast.engines.lsm.opened import Now

#: After so many findings a check ends: the database is damaged, whatever follows.
FINDINGS_MAX = 100
#: How much is read at once.
_ROWS, _BYTES = 1000, 4 * 2**20
#: The least that a stored row takes: its revision.
_LEAST_BYTES = 8


def what_is_wrong(now: Now) -> list[str]:
    """One line for each thing wrong."""
    wrong: list[str] = []
    start, more = layout.ROWS, True
    while more and len(wrong) < FINDINGS_MAX:
        try:
            rows, more = now.view.rows(
                start, layout.ROWS_END, reverse=False, rows_max=_ROWS, bytes_max=_BYTES
            )
        except IntegrityFailed as error:
            wrong.append(str(error))
            break  # What lies behind it cannot be reached.
        for key, value in rows:
            if len(value) < _LEAST_BYTES:
                wrong.append(f"the key {key[1:]!r} has no revision")
                continue
            _, revision = layout.decode_row(value)
            if not 0 < revision <= now.head:
                wrong.append(f"the key {key[1:]!r} has revision {revision}; the head is {now.head}")
        start = rows[-1][0] + b"\0" if rows else start
    return wrong[:FINDINGS_MAX]
