"""The document that a run prints: verdicts first, then a section for each workload."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Table:
    """Columns and rows of text; the first column names the row."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError("a row has as many cells as the table has columns")
        lines = [self.columns, ["---", *("---:" for _ in self.columns[1:])], *self.rows]
        return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


@dataclass(frozen=True)
class Verdict:
    """A figure with what was wanted of it.

    Attributes:
        claim: what is claimed.
        target: what was wanted.
        measured: what was found.
        met: None when it could not be measured here.
        reason: why not, when it was not met.
        profile: where the time goes, when it was not met.
    """

    claim: str
    target: str
    measured: str
    met: bool | None
    reason: str = ""
    profile: str = ""

    @property
    def word(self) -> str:
        return {True: "met", False: "**MISSED**", None: "not measured"}[self.met]


@dataclass
class Section:
    """What one workload found."""

    title: str
    text: str = ""
    parts: list[Table | str] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)

    def __str__(self) -> str:
        blocks = [f"## {self.title}"]
        if self.text:
            blocks.append(self.text)
        blocks += [str(part) for part in self.parts]
        return "\n\n".join(blocks)


def document(heading: str, sections: Sequence[Section]) -> str:
    """The whole, as Markdown."""
    verdicts = [verdict for section in sections for verdict in section.verdicts]
    blocks = [heading]
    if verdicts:
        rows = [(one.claim, one.target, one.measured, one.word) for one in verdicts]
        met = sum(one.met is True for one in verdicts)
        blocks.append(f"## Targets: {met} of {len(verdicts)} met")
        blocks.append(str(Table(("claim", "target", "measured", "verdict"), rows)))
        blocks += [_explain(one) for one in verdicts if one.met is not True]
    blocks += [str(section) for section in sections]
    return "\n\n".join(blocks) + "\n"


def _explain(verdict: Verdict) -> str:
    text = f"{verdict.word}: {verdict.claim}. {verdict.reason}".rstrip()
    if not verdict.profile:
        return text
    return (
        f"<details><summary>Where the time goes: {verdict.claim}</summary>\n\n"
        f"{text}\n\n```text\n{verdict.profile}\n```\n\n</details>"
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
