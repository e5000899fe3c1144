"""What changed in a store since its last saved version: one row for each changed key."""

from __future__ import annotations

from typing import Final

from holdfast.store import layout
from holdfast.store.plan import Plan, RowChange


class PendingKeys:
    """Records the changed keys of a plain store that saves versions.

    A store that was never saved does not have it, and pays nothing.
    """

    name: Final = "pending keys"
    flags: Final = 0
    # The directory's row of the store says whether keys are recorded; it is a fence already.
    fence: Final = None

    def __init__(self, number: int) -> None:
        self._pending = layout.region(number, layout.PENDING)

    def plan(self, plan: Plan, change: RowChange) -> None:
        plan.rows[self._pending + change.data_key[layout.REGION_BYTES :]] = b""
