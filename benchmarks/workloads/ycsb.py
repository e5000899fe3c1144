"""The YCSB letters, by one caller, for each class of durability; and what the records take."""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks import measuring
from benchmarks.catalogue import Kind, Subject, Survives, of_class
from benchmarks.child import Child, ChildFailed
from benchmarks.data import LETTERS, MEANINGS, SCAN
from benchmarks.figures import Figure, number, size
from benchmarks.measuring import Filled
from benchmarks.plan import Bench, Plan, tell
from benchmarks.report import Section, Table, Verdict

NAME = "ycsb"

#: By letter, operations per second.
Rates = dict[str, Figure]


def run(bench: Bench) -> list[Section]:
    letters = "; ".join(f"{letter} {meaning}" for letter, meaning in MEANINGS.items())
    first = Section(
        "YCSB letters",
        f"Operations per second of one caller: {letters}. {bench.plan.records:,} records of about "
        f"1 KB, keys drawn zipfian (0.99), each written value different from all others. Median "
        f"of {bench.plan.rounds} interleaved rounds, least and most in parentheses. A scan reads "
        "the first rows of one namespace of a hundred. Each store is in a process of its own. "
        "Rivals are used with their own dict values. A dash: the store keeps no order.",
    )
    footprint = Section(
        "What the records take",
        f"{bench.plan.records:,} records of about 1 KB, loaded in bulk. Memory: what the process "
        "gained that no file backs. Disk: blocks of the store's files, while open. Ours includes "
        "metadata, digest and a feed row for each record.",
    )
    classes = [_class(bench, survives, footprint) for survives in Survives]
    return [first, *classes, footprint]


def _class(bench: Bench, survives: Survives, footprint: Section) -> Section:
    subjects = of_class(survives, with_peers=bench.with_peers)
    section = Section(f"YCSB: {survives.value}")
    with ExitStack() as stack:
        children: dict[Subject, Child] = {}
        filled: dict[Subject, tuple[int, Filled]] = {}
        for one in subjects:
            tell(f"ycsb: filling {one.name}")
            child = children[one] = stack.enter_context(Child())
            records = _records(one, bench.plan)
            filled[one] = (
                records,
                child.call(measuring.fill, one.name, bench.fresh("ycsb"), records, bench.plan.seed),
            )
        rates = _measure(bench.plan, children)
        section.parts.append(_rates_table(rates))
        champion = next(one for one in subjects if one.champion)
        if bench.with_peers:
            section.parts.append(_ratio_table(champion, rates))
            section.verdicts += _verdicts(champion, children, rates)
        section.parts += _notes(subjects)
        section.parts.append(_verify(children))
    footprint.parts.append(_footprint_table(survives, filled))
    return section


def _records(one: Subject, plan: Plan) -> int:
    return plan.records if one.records_max is None else min(one.records_max, plan.records)


def _letters(one: Subject) -> list[str]:
    return [letter for letter in LETTERS if one.ordered or not LETTERS[letter][SCAN]]


def _measure(plan: Plan, children: dict[Subject, Child]) -> dict[Subject, Rates]:
    rounds: dict[Subject, dict[str, list[float]]] = {
        one: {letter: [] for letter in _letters(one)} for one in children
    }
    for turn in range(plan.rounds):
        for letter in LETTERS:
            tell(f"ycsb: round {turn + 1} of {plan.rounds}, letter {letter}")
            for one, child in children.items():
                if letter in rounds[one]:
                    rounds[one][letter].append(
                        child.call(measuring.measure, one.name, letter, plan.measure_s)
                    )
    return {
        one: {letter: Figure.of(values) for letter, values in letters.items()}
        for one, letters in rounds.items()
    }


def _rates_table(rates: dict[Subject, Rates]) -> Table:
    rows = [
        (one.name, *(str(figures[letter]) if letter in figures else "-" for letter in LETTERS))
        for one, figures in rates.items()
    ]
    return Table(("operations/s", *LETTERS), rows)


def _ratio_table(champion: Subject, rates: dict[Subject, Rates]) -> Table:
    rows = []
    for one, figures in rates.items():
        if one is not champion:
            ratios = (
                f"{number(rates[champion][letter].over(figures[letter]).median)}"
                if letter in figures
                else "-"
                for letter in LETTERS
            )
            rows.append((one.name, *ratios))
    return Table((f"times as fast: {champion.name} over", *LETTERS), rows)


def _verdicts(
    champion: Subject, children: dict[Subject, Child], rates: dict[Subject, Rates]
) -> list[Verdict]:
    verdicts = []
    peers = [one for one in rates if one.kind is Kind.PEER]
    for letter in LETTERS:
        ratios = {
            one: rates[champion][letter].over(rates[one][letter])
            for one in peers
            if letter in rates[one]
        }
        if not ratios:
            continue
        rival = min(ratios, key=lambda one: ratios[one].median)
        met = ratios[rival].median > 1
        verdicts.append(
            Verdict(
                f"{letter}, {champion.name} over {rival.name}, the fastest rival",
                "> 1 x",
                f"{ratios[rival]} x",
                met,
                "" if met else rival.note,
                "" if met else children[champion].call(
                    measuring.profile_letter, champion.name, letter
                ),
            )
        )  # fmt: skip
    return verdicts


def _notes(subjects: list[Subject]) -> list[str]:
    noted = [f"- {one.name}: {one.note}" for one in subjects if one.note]
    return ["\n".join(noted)] if noted else []


def _verify(children: dict[Subject, Child]) -> str:
    lines = []
    for one, child in children.items():
        if one.kind is Kind.OURS:
            tell(f"ycsb: verifying {one.name}")
            lines.append(f"- {one.name}: {child.call(measuring.verify_store, one.name)}")
        else:
            try:
                child.call(measuring.verify_store, one.name)
            except ChildFailed as error:
                lines.append(f"- {one.name}: **does not hold what was written** ({error})")
    return (
        "Verified after the run, value by value (versions, digests, history and the feed replayed "
        "from its beginning); of the others a sample was read back:\n\n" + "\n".join(lines)
    )


def _footprint_table(survives: Survives, filled: dict[Subject, tuple[int, Filled]]) -> Table:
    rows = []
    for one, (records, found) in filled.items():
        memory = "unknown" if found.memory_bytes is None else size(found.memory_bytes / records)
        rows.append((
            one.name,
            memory,
            "-" if survives is Survives.NOTHING else size(found.disk_bytes / records),
            number(records / found.seconds),
        ))  # fmt: skip
    return Table(("store", "memory per record", "disk per record", "loaded records/s"), rows)
