"""What the demo verifies, and the console it tells of it."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.table import Table

import holdfast

#: The longest list that a verdict spells out.
LIST_SHOWN_MAX = 3

console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)


class Verdicts:
    """What was verified: name, wanted, found, how fast."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str]] = []
        self.wrong = 0

    def equal(self, name: str, wanted: Any, found: Any, speed: str = "") -> None:
        """Note whether what was found is what was wanted."""
        right = wanted == found
        self.wrong += not right
        shown = _short(found)
        verdict = f"[green]✓[/] {shown}" if right else f"[red]✗ {shown}, wanted {_short(wanted)}[/]"
        self.rows.append((name, verdict, speed))

    def print(self) -> None:
        table = Table(title="What was verified", title_justify="left", title_style="bold")
        for name in ("verified", "found", "how fast"):
            table.add_column(name, overflow="fold")
        for row in self.rows:
            table.add_row(*row)
        console.print(table)


def _short(fact: Any) -> str:
    if isinstance(fact, list) and len(fact) > LIST_SHOWN_MAX:
        return f"{len(fact):,} in order"
    if isinstance(fact, dict):
        return f"{len(fact):,} parts"
    if isinstance(fact, holdfast.Entry):
        return f"version {fact.metadata.version}"
    if isinstance(fact, list):
        return ", ".join(map(str, fact)) or "none"
    return f"{fact:,}" if type(fact) is int else str(fact)
