"""Animals that sift rows wrongly."""

from __future__ import annotations

from dataclasses import replace

from holdfast.contract.engine import NOT_NOW, NotNow, Snapshot
from holdfast.contract.lookup import Look, Sifted
from holdfast.contract.record import Range
from holdfast.runtime.system import drive
from tests.zoo.drafting import Instant


class SiftsWhatIsThereNow(Instant):
    """Sifts the newest rows, whatever the snapshot."""

    def peek_sifted(self, range: Range, look: Look, at: Snapshot) -> Sifted | NotNow:
        drive(self.scan(range, at=at))
        page = drive(self.scan(range))
        rows = [(key, record, look(record.value)) for key, record in page.rows]
        return Sifted([row for row in rows if row[2] is not None], len(rows), page.resume)


class SiftsOnFromTheLastThatIsWanted(Instant):
    """Takes up a sieving again behind the last row that is wanted."""

    def peek_sifted(self, range: Range, look: Look, at: Snapshot) -> Sifted | NotNow:
        sifted = super().peek_sifted(range, look, at)
        if sifted is NOT_NOW or sifted.resume is None or not sifted.rows:
            return sifted
        return sifted._replace(resume=range.after(sifted.rows[-1][0]))


class SiftsAsManyAsAreWanted(Instant):
    """Takes the limit of rows that are looked at for that of rows that are wanted."""

    def peek_sifted(self, range: Range, look: Look, at: Snapshot) -> Sifted | NotNow:
        sifted = super().peek_sifted(replace(range, limit=None), look, at)
        if sifted is NOT_NOW or range.limit is None or len(sifted.rows) <= range.limit:
            return sifted
        rows = sifted.rows[: range.limit]
        return Sifted(rows, len(rows), range.after(rows[-1][0]))


class SiftsByTruth(Instant):
    """Leaves out rows in which something is seen that Python takes for false."""

    def peek_sifted(self, range: Range, look: Look, at: Snapshot) -> Sifted | NotNow:
        return super().peek_sifted(range, lambda value: look(value) or None, at)
