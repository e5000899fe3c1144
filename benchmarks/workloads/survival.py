"""Whether each store belongs in its class: its process is killed, its flushes are counted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks import measuring, shim
from benchmarks.catalogue import SUBJECTS, Kind, Subject, Survives, subject
from benchmarks.child import Child, Session
from benchmarks.data import WRITE, Values, key_of
from benchmarks.figures import number
from benchmarks.plan import Bench, tell
from benchmarks.report import Section, Table, Verdict

NAME = "survival"

_RECORDS = 100


@dataclass(frozen=True)
class Survived:
    """What became of the acknowledged writes of a killed process.

    Attributes:
        kept: found by the next process.
        written: acknowledged.
        per_write: flushes of the process for each of them; None without the shim.
    """

    kept: int
    written: int
    per_write: float | None

    def fits(self, survives: Survives) -> bool:
        """Whether it is what the class promises."""
        if survives is Survives.AFTER_A_WHILE:
            return True
        if survives is Survives.POWER_LOSS and self.per_write is not None and self.per_write < 1:
            return False
        return self.kept == self.written


def run(bench: Bench) -> list[Section]:
    subjects = [
        one for one in SUBJECTS
        if one.survives is not Survives.NOTHING and (bench.with_peers or one.kind != Kind.PEER)
    ]  # fmt: skip
    rows: list[tuple[str, ...]] = []
    wrong: list[str] = []
    ours_wrong: list[str] = []
    for one in subjects:
        tell(f"survival: {one.name}")
        found = _kill(bench, one)
        flushes = "-" if found.per_write is None else number(found.per_write)
        fits = found.fits(one.survives)
        answer = "nothing promised" if one.survives is Survives.AFTER_A_WHILE else "yes"
        if not fits:
            (ours_wrong if one.kind is Kind.OURS else wrong).append(one.name)
        rows.append((
            one.name, one.survives.label, f"{found.kept} of {found.written}", flushes,
            answer if fits else "**no**",
        ))  # fmt: skip
    section = Section(
        "What a write survives",
        f"Each store acknowledges {bench.plan.survival_writes} writes of one caller, then its "
        "process is killed with SIGKILL and another one counts what is there. Flushes are counted "
        "by a preloaded library. A flush is what a write needs to survive a power loss; the kill "
        "alone proves survival of the process's death.",
        [Table(("store", "a write survives", "kept", "flushes per write", "fits its class"), rows)],
    )
    section.verdicts.append(Verdict(
        "every store of ours keeps what its durability promises", "all", _named(ours_wrong),
        not ours_wrong,
    ))  # fmt: skip
    if wrong:
        section.parts.append(f"Compared in a class above what they keep: {', '.join(wrong)}.")
    return [section]


def _named(names: list[str]) -> str:
    return f"not {', '.join(names)}" if names else "all"


def _kill(bench: Bench, one: Subject) -> Survived:
    folder = bench.fresh("survival")
    written = bench.plan.survival_writes
    environment = {} if bench.shim is None else bench.shim.environment()
    with Child(environment) as child:
        child.call(measuring.fill, one.name, folder, _RECORDS, bench.plan.seed)
        flushed = child.call(write, one.name, written, bench.plan.seed)
        child.kill()
    with Child() as child:
        kept = child.call(count_kept, one.name, folder, written, bench.plan.seed)
    return Survived(kept, written, None if flushed is None else flushed / written)


# --- In the child ---------------------------------------------------------------------------


def write(session: Session, name: str, count: int, seed: int) -> int | None:
    """Insert records one by one; how many flushes the process made meanwhile."""
    values = Values(seed)
    numbers = range(_RECORDS, _RECORDS + count)
    operations = [(WRITE, key_of(number), values.of(number, 0)) for number in numbers]
    before = shim.flushes()
    session.stores[name].run(operations)
    after = shim.flushes()
    return None if before is None or after is None else after - before


def count_kept(session: Session, name: str, folder: Path, count: int, seed: int) -> int:
    """How many of the inserted records are there, as they were written."""
    values = Values(seed)
    store = subject(name).store(folder)
    store.start()
    session.stores[name] = store
    numbers = range(_RECORDS, _RECORDS + count)
    return sum(store.value(key_of(number)) == values.of(number, 0) for number in numbers)
