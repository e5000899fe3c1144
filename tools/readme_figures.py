"""The figures of the README, taken from the document that the benchmarks wrote.

    make bench && python -m tools.readme_figures

Reads `docs/benchmarks-figures.md`, and writes anew what stands between two marks in `README.md`.
With `--check` it only says whether they agree.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
FIGURES = ROOT / "docs" / "benchmarks-figures.md"
README = ROOT / "README.md"
BEGIN, END = "<!-- figures: python -m tools.readme_figures -->", "<!-- end of the figures -->"

LETTERS = {
    "A": "A 50/50", "B": "B 95/5", "C": "C read", "D": "D latest", "F": "F modify",
}  # fmt: skip
#: The rows of the table of letters: what the document calls them, and what the README does.
STORES = {
    "holdfast lmdb full, async": "**holdfast lmdb**",
    "holdfast lmdb full, journal, sync": "**holdfast lmdb** (`journal=8MiB`, sync handle)",
    "holdfast sqlite full, sync": "**holdfast sqlite** (sync handle)",
    "raw lmdb": "raw lmdb",
    "raw sqlite3 FULL": "raw sqlite3",
    "diskcache FULL": "diskcache",
    "ZODB": "ZODB",
    "py-key-value disk FULL": "py-key-value disk",
    "py-key-value rocksdb sync": "py-key-value rocksdb",
    "sqlitedict FULL": "sqlitedict",
}
BY_HAND = ("lmdb relaxed", "lmdb full", "sqlite full", "memory")
CALLS = ("set", "get", "set_many", "items")
TASKS = (1, 16, 256)


def main(arguments: list[str]) -> int:
    readme = README.read_text()
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    written = f"{before}{BEGIN}\n{figures(FIGURES.read_text())}\n{END}{after}"
    if arguments == ["--check"]:
        if written != readme:
            print("the README shows other figures: python -m tools.readme_figures", file=sys.stderr)
        return int(written != readme)
    README.write_text(written)
    return 0


def figures(document: str) -> str:
    """What the README shows of the document."""
    parts = (measured(document), letters(document), tasks(document), by_hand(document))
    return "\n\n".join(parts)


def measured(document: str) -> str:
    """Where, when and how it was measured."""
    facts = dict(re.findall(r"^- ([\w, ]+?): (.*)$", document, re.MULTILINE))
    date = facts["date"].partition(",")[0]
    flush = re.search(r"median ([\d.]+ ms)", facts["disk"])
    met = re.search(r"^## Targets: (.*) met$", document, re.MULTILINE)
    assert flush
    assert met
    return (
        f"Measured on {date}: {facts['processor']}, {facts['disk'].partition(' on ')[0]}, one "
        f"flush {flush[1]}, {facts['Python']}; medians; one caller; 100,000 records of 1 KB. "
        f"`make bench` measures your machine. Of the targets {met[1]} are met; "
        f"[the document of the run](docs/{FIGURES.name}) has a profile beside each one missed."
    )


def letters(document: str) -> str:
    """Operations per second of the YCSB letters, every write flushed before it returns."""
    table = section(document, "## YCSB: each write is flushed before it returns")
    names, *rows = (row for row in rows_of(table) if row)
    found = {row[0]: dict(zip(names[1:], row[1:], strict=True)) for row in rows}
    head = ["operations/s, power loss survived", *LETTERS.values()]
    shown = [
        [title, *(median(found[name][letter]) for letter in LETTERS)]
        for name, title in STORES.items()
        if name in found
    ]
    return markdown(head, shown)


def tasks(document: str) -> str:
    """Durable sets by many tasks at once."""
    text = section(document, "## Group commit")
    shown = []
    for flush, title in (("this disk", "this disk"), ("2 ms more per flush", "2 ms more a flush")):
        for engine in ("lmdb", "sqlite"):
            rates = []
            for count in TASKS:
                row = re.search(
                    rf"^\| holdfast {engine} full, async \| {count} \| (\S+)",
                    text.partition(f"| {flush} | tasks ")[2],
                    re.MULTILINE,
                )
                rates.append(row[1] if row else "-")
            shown.append([f"{engine}, {title}", *rates])
    return markdown(
        ["durable sets/s", *(f"{count} task{'s' * (count > 1)}" for count in TASKS)], shown
    )


def by_hand(document: str) -> str:
    """What each call costs, in the same rows written by hand."""
    shown = []
    for engine in BY_HAND:
        cells = []
        for call in CALLS:
            claim = re.escape(f"| {engine}: {call} over the same rows by hand |")
            row = re.search(
                rf"^{claim} ≤ ([\d.]+) x \| ([\d.]+) [^|]*\| ([^|]+) \|$", document, re.MULTILINE
            )
            assert row, f"no figure for {call} on {engine}"
            met = row[3].strip() == "met"
            cells.append(f"{row[2]} x" if met else f"{row[2]} x (wanted {row[1]})")
        shown.append([engine, *cells])
    return markdown(["over the same rows by hand", *(f"`{call}`" for call in CALLS)], shown)


# --- Reading and writing tables -------------------------------------------------------------------


def section(document: str, heading: str) -> str:
    """The text of the section whose heading begins so."""
    found = re.search(rf"^{re.escape(heading)}.*?(?=^## |\Z)", document, re.MULTILINE | re.DOTALL)
    assert found, f"no section {heading!r}"
    return found[0]


def rows_of(text: str) -> list[list[str]]:
    """The cells of the first table."""
    first = re.search(r"^\|.*?(?=^[^|]|\n\n)", text, re.MULTILINE | re.DOTALL)
    assert first
    lines = first[0].strip().split("\n")
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in (lines[0], *lines[2:])]


def median(cell: str) -> str:
    """A figure without the least and the most."""
    return cell.partition(" (")[0]


def markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return (
        "\n".join(f"| {' | '.join(line)} |" for line in lines)
        .replace("| --- ", "|---")
        .replace(" ---: ", "---:")
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
