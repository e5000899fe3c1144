"""Hold the gate on coverage: lines and branches of each lower floor, after a run with `--cov`.

Combines the data of all processes, prints one line per floor and exits with 1 below the gate.
"""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path, PurePath

GATE_PERCENT = 90.0
#: What tests/faults reaches by interrupting at every line is not seen: its trace function takes the
#: place of the one that measures. Nearly all such branches are in these two.
BRANCHES_PERCENT = {"engines": 88.0, "runtime": 88.0}
FLOORS = ("contract", "codecs", "engines", "runtime", "store", "records", "stores")


def measure() -> dict[str, Counter[str]]:
    """Floor to counts, from the data files that the test run left in the current folder."""
    coverage = [sys.executable, "-m", "coverage"]
    if list(Path().glob(".coverage.*")):
        subprocess.run([*coverage, "combine", "--quiet", "--append"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        subprocess.run([*coverage, "json", "--quiet", "-o", str(report)], check=True)
        files = json.loads(report.read_text())["files"]
    floors: dict[str, Counter[str]] = {}
    for name, file in files.items():
        parts = PurePath(name).parts
        if parts[:2] != ("src", "holdfast"):
            continue  # A copy that a test made elsewhere and ran.
        floor = PurePath(parts[parts.index("holdfast") + 1]).stem
        numbers = {key: value for key, value in file["summary"].items() if isinstance(value, int)}
        floors.setdefault(floor, Counter()).update(numbers)
    return floors


def percent(covered: int, total: int) -> float:
    return 100.0 * covered / total if total else 100.0


def main() -> int:
    floors = measure()
    below = []
    print(f"{'floor':12} {'lines':>7} {'branches':>9}")
    for floor, counts in sorted(floors.items()):
        lines = percent(counts["covered_lines"], counts["num_statements"])
        branches = percent(counts["covered_branches"], counts["num_branches"])
        gated = floor in FLOORS
        low = gated and (
            lines < GATE_PERCENT or branches < BRANCHES_PERCENT.get(floor, GATE_PERCENT)
        )
        verdict = "BELOW THE GATE" if low else "" if gated else "no gate"
        print(f"{floor:12} {lines:6.1f}% {branches:8.1f}%  {verdict}".rstrip())
        if low:
            below.append(floor)
    missing = [floor for floor in FLOORS if floor not in floors]
    if missing:
        print(f"not measured: {', '.join(missing)}", file=sys.stderr)
    if below:
        print(
            f"{', '.join(below)}: below {GATE_PERCENT:.0f} % of lines or branches; see what is "
            "missing with: .venv/bin/python -m coverage report --show-missing",
            file=sys.stderr,
        )
    return 1 if below or missing else 0


if __name__ == "__main__":
    sys.exit(main())
