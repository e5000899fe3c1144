"""Print requirement rows by floor, the tests that hold them and the results of the last test run.

    python tools/rows.py [--floor spine] [--seed K] build/rows/*.json

The reports are what `pytest --rows-report=FILE` wrote; no test is run here. A later report on the
command line replaces what an earlier one says of the same test.
Exit code 1: a row failed, a row of a floor that is built has no test, or a test names a row that
`requirements/rows.json` does not know. Rows of floors still to be built are listed.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

ROWS = Path(__file__).parents[1] / "requirements" / "rows.json"

#: Floors whose every row has to have a test. A floor joins them when it is done.
BUILT = ("spine", "records")

#: In the order in which they are built and printed.
FLOORS = (
    *BUILT, "stores", "documents", "state", "engines", "versions", "entities", "replication",
    "bridge", "system", "server",
)  # fmt: skip

#: The five seeds that rows come from. What no seed names is a trap of the design.
SEEDS = "KESID"


@dataclass(frozen=True)
class Row:
    id: str
    phrase: str
    floor: str


@dataclass
class Proof:
    """What the last run says of one row."""

    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def result(self) -> str:
        if self.failed:
            return "FAILED"
        return "passed" if self.passed else "no test"

    @property
    def tests(self) -> list[str]:
        return self.failed + self.passed


def read_rows(path: Path) -> dict[str, Row]:
    return {row["id"]: Row(**row) for row in json.loads(path.read_text())}


def read_proofs(reports: list[Path]) -> dict[str, Proof]:
    """Row id to proof, from the reports of `--rows-report`."""
    tests: dict[str, dict[str, object]] = {}
    for report in reports:
        tests |= json.loads(report.read_text())["tests"]
    proofs: dict[str, Proof] = {}
    for name, test in sorted(tests.items()):
        rows = test["rows"]
        assert isinstance(rows, list)
        for row in rows:
            proof = proofs.setdefault(row, Proof())
            (proof.passed if test["outcome"] == "passed" else proof.failed).append(name)
    return proofs


def print_rows(rows: list[Row], proofs: dict[str, Proof], *, verbose: bool) -> None:
    """One line for each row: what it asks for, whether it is held, and by which test."""
    width = max((len(row.phrase) for row in rows), default=0)
    for row in rows:
        proof = proofs.get(row.id, Proof())
        # Parametrised cases of one test function are one test to a reader.
        functions = sorted({name.partition("[")[0] for name in proof.tests})
        shown = functions if verbose else functions[:1]
        more = f" and {len(functions) - 1} more" if len(functions) > len(shown) else ""
        print(f"{row.id:8}  {proof.result:7}  {row.phrase:{width}}  {', '.join(shown)}{more}")


def print_floor(floor: str, rows: list[Row], proofs: dict[str, Proof], *, verbose: bool) -> None:
    """The rows of a floor that have a test, and the names of those that have none."""
    print(f"## {floor}\n")
    tested = [row for row in rows if row.id in proofs]
    print_rows(tested, proofs, verbose=verbose)
    bare = [row for row in rows if row.id not in proofs]
    if bare and verbose:
        print_rows(bare, proofs, verbose=verbose)
    elif bare:
        print(f"without a test: {', '.join(row.id for row in bare)}")
    print()


def print_sums(rows: list[Row], proofs: dict[str, Proof], floors: Iterable[str]) -> None:
    """For each floor and for all of them: how many rows, how many tested, how many passing."""
    print(f"{'floor':12} {'rows':>5} {'tested':>7} {'passing':>8}")
    for floor in (*floors, "all"):
        own = [row for row in rows if floor in (row.floor, "all")]
        found = [proofs[row.id] for row in own if row.id in proofs]
        passing = sum(not proof.failed for proof in found)
        print(f"{floor:12} {len(own):5} {len(found):7} {passing:8}")


def faults(
    known: dict[str, Row], chosen: list[Row], proofs: dict[str, Proof], floors: Iterable[str]
) -> list[str]:
    """What makes the run fail, as sentences."""
    said = [
        f"unknown row {row!r} in {', '.join(proof.tests)}: correct the mark"
        for row, proof in proofs.items()
        if row not in known
    ]
    failed = [row.id for row in chosen if row.id in proofs and proofs[row.id].failed]
    if failed:
        said.append(f"failing: {', '.join(failed)}")
    for floor in floors:
        bare = [row.id for row in chosen if row.floor == floor and row.id not in proofs]
        if bare and floor in BUILT:
            said.append(f"the floor {floor} is built; without a test: {', '.join(bare)}")
    return said


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("reports", nargs="+", type=Path, help="files of pytest --rows-report")
    parser.add_argument("--rows", type=Path, default=ROWS, help="the rows (JSON)")
    parser.add_argument("--floor", choices=FLOORS, help="only the rows of one floor")
    parser.add_argument("--seed", choices=SEEDS, help="only the rows of one seed")
    parser.add_argument("--verbose", action="store_true", help="every row and every test of it")
    options = parser.parse_args(arguments)

    known = read_rows(options.rows)
    proofs = read_proofs(options.reports)
    floors = (options.floor,) if options.floor else FLOORS
    chosen = [
        row
        for row in known.values()
        if row.floor in floors and options.seed in (None, row.id.partition("-")[0])
    ]
    for floor in floors:
        own = [row for row in chosen if row.floor == floor]
        print_floor(floor, own, proofs, verbose=options.verbose)
    print_sums(chosen, proofs, floors)
    said = faults(known, chosen, proofs, floors)
    for sentence in said:
        print(sentence, file=sys.stderr)
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
