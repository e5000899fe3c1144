"""Documents: the same questions to ours, to SQL written by hand, and to other document stores."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Final, cast

from benchmarks.child import Child, Session
from benchmarks.data import Wrong
from benchmarks.figures import Figure, number
from benchmarks.plan import Bench, tell
from benchmarks.profiling import profile
from benchmarks.report import Section, Table, Verdict
from benchmarks.stores.documents import DocumentStore
from benchmarks.workloads import documents_import
from benchmarks.workloads.documents_data import (
    BUILD,
    GROUP,
    QUESTIONS,
    UPDATE,
    WORDS_AND,
    WORDS_OR,
    Corpus,
    agrees,
    answer,
)

NAME = "documents"


@dataclass(frozen=True)
class Subject:
    """A document store.

    Attributes:
        name: as the table calls it.
        maker: `module:Class`.
        options: of the class.
        requires: the module it imports.
        documents_max: how many it is filled with at most; the table says it.
    """

    name: str
    maker: str
    options: dict[str, Any] = field(default_factory=dict)
    requires: str = ""
    documents_max: int | None = None

    def store(self, folder: Path) -> DocumentStore:
        module, _, name = self.maker.partition(":")
        return cast("DocumentStore", getattr(import_module(module), name)(folder, **self.options))


_SQL, _STORES = "benchmarks.peers.document_sql", "benchmarks.peers.document_stores"
_OURS = "benchmarks.stores.documents:OurDocuments"
LMDB, SQLITE = "holdfast lmdb", "holdfast sqlite"
RAW, JSONB, TINY = "sqlite3, text", "apsw, JSONB", "TinyDB"
SUBJECTS: Final = (
    Subject(LMDB, _OURS, {"engine": "lmdb"}),
    Subject(SQLITE, _OURS, {"engine": "sqlite"}),
    Subject(RAW, f"{_SQL}:SqliteDocuments"),
    Subject(JSONB, f"{_SQL}:ApswDocuments", requires="apsw"),
    Subject("DuckDB", f"{_SQL}:DuckDocuments", requires="duckdb"),
    Subject(TINY, f"{_STORES}:TinyDocuments", requires="tinydb"),
    Subject("mongita", f"{_STORES}:MongitaDocuments", requires="mongita"),
    # A walk of 100,000 documents takes it more than a second.
    Subject("montydb", f"{_STORES}:MontyDocuments", requires="montydb", documents_max=10_000),
)
PEER_MODULES: Final = tuple(one.requires for one in SUBJECTS if one.requires)
PEERS: Final = ("DuckDB", TINY, "mongita", "montydb")
#: What is wanted of ours over SQL by hand in the standard library's SQLite, by engine: at most.
BARS: Final[dict[str, tuple[float, float]]] = {
    **dict.fromkeys(QUESTIONS, (2.0, 2.0)),
    GROUP: (1.0, 1.3),
}
#: Not told what is wanted of it there: full text on lmdb is beside FTS5 for the record.
_ONLY_SQLITE: Final = (WORDS_AND, WORDS_OR)
_NO_BAR: Final = (UPDATE, BUILD)
#: Questions that take a peer longer are asked once.
SLOW_S: Final = 0.25
CHUNK_MAX: Final = 256
VERIFIED: Final = 2
PROFILED: Final = 50

Times = dict[str, dict[str, list[float]]]


def run(bench: Bench) -> list[Section]:
    subjects = [one for one in SUBJECTS if bench.with_peers or not one.requires]
    records = bench.plan.records
    section = Section(
        "Documents",
        f"Milliseconds for an answer, whole documents decoded, of {records:,} documents of about "
        "500 bytes; one caller, rounds of the stores interleaved. Every store has the same "
        "indexes where it can have them; ours plans, checks expiry and gives of one moment. "
        "Updates are committed and not flushed (relaxed; `synchronous=normal`), those of stores "
        "in memory not even written. Ours are handles of asyncio. "
        f"{_sizes(subjects, records)}",
    )
    children: dict[str, Child] = {}
    try:
        for one in subjects:
            children[one.name] = Child().__enter__()
        times = _measured(bench, subjects, children)
        section.parts += [_table(subjects, times), _meanings(), _ratios(times)]
        section.verdicts += _verdicts(children, times, subjects)
    finally:
        for child in children.values():
            child.__exit__(None, None, None)
    return [section, documents_import.section(bench)]


def _sizes(subjects: list[Subject], records: int) -> str:
    fewer = [one for one in subjects if one.documents_max and one.documents_max < records]
    return " ".join(f"{one.name} holds {one.documents_max:,} documents only." for one in fewer)


def _measured(bench: Bench, subjects: list[Subject], children: dict[str, Child]) -> Times:
    """Seconds of one answer, by question and store, round by round."""
    plan = bench.plan
    times: Times = {question: {} for question in QUESTIONS}
    for one in subjects:
        tell(f"documents: fill {one.name}")
        records = min(plan.records, one.documents_max or plan.records)
        folder = bench.fresh("documents")
        built, wrong = children[one.name].call(prepare, one.name, folder, records, plan.seed)
        if wrong:
            raise Wrong(f"{one.name} gives wrong answers to {', '.join(wrong)}")
        if built is not None:
            times[BUILD][one.name] = [built]
    slow: set[tuple[str, str]] = set()
    for turn in range(plan.rounds):
        tell(f"documents: round {turn + 1} of {plan.rounds}")
        for question, taken in times.items():
            for one in subjects:
                if question == BUILD or (one.name, question) in slow:
                    continue
                child = children[one.name]
                seconds = child.call(measure, one.name, question, plan.measure_s / 2, turn)
                if seconds is None:
                    continue
                taken.setdefault(one.name, []).append(seconds)
                if seconds > SLOW_S and one.name in PEERS:
                    slow.add((one.name, question))
    return times


def _table(subjects: list[Subject], times: Times) -> Table:
    rows = []
    for question, taken in times.items():
        cells = [
            number(Figure.of(taken[one.name]).median * 1e3) if one.name in taken else "-"
            for one in subjects
        ]
        rows.append((question, *cells))
    return Table(("ms", *(one.name for one in subjects)), rows)


def _meanings() -> str:
    lines = [f"- {question}: {meaning}" for question, meaning in QUESTIONS.items()]
    return "A dash: the store has no such question, or no such index.\n\n" + "\n".join(lines)


def _ratios(times: Times) -> Table:
    rows = []
    for question, taken in times.items():
        cells = [
            f"{Figure.of(taken[ours]).over(Figure.of(taken[other]))}"
            if other in taken and len(taken[ours]) == len(taken[other])
            else "-"
            for other in (RAW, JSONB)
            for ours in (LMDB, SQLITE)
        ]
        rows.append((question, *cells))
    columns = [f"{ours} / {other}" for other in (RAW, JSONB) for ours in (LMDB, SQLITE)]
    return Table(("ours over theirs, pairs of one round", *columns), rows)


def _verdicts(children: dict[str, Child], times: Times, subjects: list[Subject]) -> list[Verdict]:
    verdicts = []
    for question, taken in times.items():
        for ours, bar in zip((LMDB, SQLITE), BARS[question], strict=True):
            if question in _NO_BAR or (question in _ONLY_SQLITE and ours == LMDB):
                continue
            ratio = Figure.of(taken[ours]).over(Figure.of(taken[RAW]))
            met = ratio.median <= bar
            verdicts.append(
                Verdict(
                    f"{question}: {ours} over {RAW}", f"≤ {bar} x", f"{ratio} x", met,
                    profile="" if met else children[ours].call(profiled, ours, question),
                )
            )  # fmt: skip
    names = {one.name for one in subjects}
    for peer in (one for one in PEERS if one in names):
        lost = [
            question
            for question, taken in times.items()
            if peer in taken
            and Figure.of(taken[peer]).median
            < min(Figure.of(taken[ours]).median for ours in (LMDB, SQLITE))
        ]
        asked = sum(peer in taken for taken in times.values())
        verdicts.append(
            Verdict(
                f"faster than {peer} on every row that it has", f"{asked} of {asked}",
                f"{asked - len(lost)} of {asked}", not lost, ", ".join(lost),
            )
        )  # fmt: skip
    return verdicts


# --- In the child ------------------------------------------------------------------------------


class _Held:
    """The store of this child, and what it is asked with."""

    stores: dict[str, tuple[DocumentStore, Corpus]] = {}  # noqa: RUF012 - of the process


def prepare(
    _session: Session, name: str, folder: Path, records: int, seed: int
) -> tuple[float | None, list[str]]:
    """Fill and index a store; seconds of the index over city and age, and wrong answers."""
    corpus = Corpus(records, seed)
    store = next(one for one in SUBJECTS if one.name == name).store(folder)
    store.start()
    documents = list(corpus.documents())
    store.load(documents)
    built = store.index()
    _Held.stores[name] = store, corpus
    wrong = [
        question
        for question in store.asks
        if question != UPDATE
        for argument in corpus.arguments(question, VERIFIED, -1)
        if not agrees(
            question, answer(question, documents, argument), store.answer(question, argument)
        )
    ]
    return built, wrong


def measure(_session: Session, name: str, question: str, seconds: float, turn: int) -> float | None:
    """Seconds of one answer; None: it cannot be asked that."""
    store, corpus = _Held.stores[name]
    if question not in store.asks:
        return None
    first = store.run(question, corpus.arguments(question, 1, turn))
    if first > seconds:
        return first
    done, spent, chunk = 0, 0.0, 1
    while spent < seconds:
        arguments = corpus.arguments(question, chunk, turn + (done << 16))
        spent += store.run(question, arguments)
        done += chunk
        chunk = min(4 * chunk, CHUNK_MAX)
    return spent / done


def profiled(_session: Session, name: str, question: str) -> str:
    """Where the time of a question goes."""
    store, corpus = _Held.stores[name]
    count = max(
        1, min(PROFILED, int(1 / max(store.run(question, corpus.arguments(question, 1, -2)), 1e-6)))
    )
    arguments = corpus.arguments(question, count, -3)

    def work() -> int:
        store.run(question, arguments)
        return count

    return profile(work)
