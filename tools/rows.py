"""Print requirement rows, the tests that hold them and the results of the last test run.

    python tools/rows.py --floor spine build/rows/test.json build/rows/torture.json

The reports are what `pytest --rows-report=FILE` wrote; no test is run here. A later report on the
command line replaces what an earlier one says of the same test.
Exit code 1: a row failed, or a test names a row that `requirements/rows.json` does not know.
Rows without a test are listed; `--complete` makes them an error too.
"""

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROWS = Path(__file__).parents[1] / "requirements" / "rows.json"


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


def print_table(rows: list[Row], proofs: dict[str, Proof], *, verbose: bool) -> None:
    width = max((len(row.phrase) for row in rows), default=0)
    for row in rows:
        proof = proofs.get(row.id, Proof())
        # Parametrised cases of one test function are one test to a reader.
        functions = sorted({name.partition("[")[0] for name in proof.tests})
        shown = functions if verbose else functions[:1]
        more = f" and {len(functions) - 1} more" if len(functions) > len(shown) else ""
        print(f"{row.id:8}  {proof.result:7}  {row.phrase:{width}}  {', '.join(shown)}{more}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("reports", nargs="+", type=Path, help="files of pytest --rows-report")
    parser.add_argument("--rows", type=Path, default=ROWS, help="the rows (JSON)")
    parser.add_argument("--floor", help="only the rows of one floor, e.g. spine")
    parser.add_argument("--complete", action="store_true", help="a row without a test fails")
    parser.add_argument("--verbose", action="store_true", help="name every test of a row")
    options = parser.parse_args(arguments)

    known = read_rows(options.rows)
    floors = sorted({row.floor for row in known.values()})
    if options.floor and options.floor not in floors:
        parser.error(f"no floor {options.floor!r}; there are: {', '.join(floors)}")
    proofs = read_proofs(options.reports)

    chosen = [row for row in known.values() if options.floor in (None, row.floor)]
    # A later floor's row that is proven already is shown too: nothing proven stays hidden.
    early = [row for row in known.values() if row not in chosen and row.id in proofs]
    print_table(chosen, proofs, verbose=options.verbose)
    if early:
        print("\nof other floors, proven already:")
        print_table(early, proofs, verbose=options.verbose)

    unknown = {row: proof.tests for row, proof in proofs.items() if row not in known}
    failed = [row.id for row in chosen + early if row.id in proofs and proofs[row.id].failed]
    bare = [row.id for row in chosen if row.id not in proofs]
    print(
        f"\n{len(chosen)} rows of {options.floor or 'all floors'}: "
        f"{len(chosen) - len(bare)} with tests, {len(bare)} without, {len(failed)} failing"
    )
    if bare:
        print(f"without a test: {', '.join(bare)}")
    for row, tests in unknown.items():
        print(f"unknown row {row!r} in {', '.join(tests)}: correct the mark", file=sys.stderr)
    if failed:
        print(f"failing: {', '.join(failed)}", file=sys.stderr)
    return 1 if unknown or failed or (options.complete and bare) else 0


if __name__ == "__main__":
    sys.exit(main())
