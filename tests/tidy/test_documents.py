"""Documents: every Python block runs, every local link leads somewhere, tables agree with code."""

import ast
import asyncio
import inspect
import re
import types
from pathlib import Path
from typing import Any

import pytest
from sybil import Sybil
from sybil.example import Example
from sybil.parsers.markdown import CodeBlockParser, SkipParser

from tests.tidy import repository

DOCUMENTS = [path for path in repository.tracked_files() if path.suffix == ".md"]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def relative(path: Path) -> str:
    return str(path.relative_to(repository.ROOT))


def anchors(path: Path) -> set[str]:
    """The fragments that headings of a document answer to, as GitHub makes them."""
    text = FENCE.sub("", path.read_text())
    headings = re.findall(r"^#+ +(.+?)\s*$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


class Page:
    """One document being run: its blocks share names and one event loop."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.runner = asyncio.Runner()

    def evaluate(self, example: Example) -> None:
        line = example.line + example.parsed.line_offset
        source = "\n" * line + example.parsed
        # `await` at the top of a block is how the documents show async code.
        code = compile(source, str(self.path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if code.co_flags & inspect.CO_COROUTINE:
            self.runner.run(types.FunctionType(code, self.names)())
        else:
            exec(code, self.names)  # running the documents is the purpose

    def run(self) -> int:
        """Run every Python block; return how many ran."""
        blocks = CodeBlockParser(language="python", evaluator=self.evaluate)
        document = Sybil(parsers=[blocks, SkipParser()]).parse(self.path)
        ran = 0
        with self.runner:
            for example in document.examples():
                example.evaluate()
                ran += example.region.evaluator == self.evaluate
        return ran


@pytest.mark.row("trap 53")
@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_code_blocks_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Page(path).run()


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_local_links_lead_somewhere(path: Path) -> None:
    dead = []
    for target in LINK.findall(FENCE.sub("", path.read_text())):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue  # another site; looking there would make the test depend on it
        name, _, fragment = target.partition("#")
        file = (path.parent / name) if name else path
        if not file.exists() or (fragment and fragment not in anchors(file)):
            dead.append(target)
    assert not dead, f"{relative(path)} links to nothing: {dead}"


@pytest.mark.row("trap 53")
def test_a_failing_block_fails(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# P\n\n```python\nx = 1\n```\n\n```python\nassert x == 2\n```\n")
    with pytest.raises(AssertionError) as failure:
        Page(page).run()
    assert failure.traceback[-1].lineno == 7  # counted from 0: line 8 of the page


def test_blocks_share_names_and_may_await(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nimport asyncio\nawait asyncio.sleep(0)\nloop = asyncio.get_running_loop()\n"
        "```\n\n```python\nassert loop is asyncio.get_running_loop()\n"
        "await asyncio.sleep(0)\n```\n\n```console\n$ not python\n```\n"
    )
    assert Page(page).run() == 2


def test_readme_lists_the_engines() -> None:
    """The README's table headed `engine` names each registered engine, once, and no other."""
    readme = (repository.ROOT / "README.md").read_text()
    table = re.search(r"^\| *[Ee]ngine *\|.*\n(?:\|.*\n)+", readme, re.MULTILINE)
    assert table, "the README has no table whose first column is called engine"
    rows = re.findall(r"^\| *`(\w+)` *\|", table.group(), re.MULTILINE)
    registered = repository.project()["project"]["entry-points"]["holdfast.engines"]
    assert sorted(rows) == sorted(registered)


def test_contributing_shows_the_toy_engine_as_it_is() -> None:
    toy = (repository.ROOT / "tests/engines/toy.py").read_text()
    body = toy.partition("\n\n")[2].strip()
    assert body in (repository.ROOT / "CONTRIBUTING.md").read_text()


def test_contributing_shows_a_view_that_is_small_and_stands_on_floor_three() -> None:
    text = (repository.ROOT / "CONTRIBUTING.md").read_text()
    _, _, section = text.partition("\n## Add a view\n")
    found = re.search(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert found
    lines = [line for line in found[1].splitlines() if line.strip()]
    assert len(lines) < 150
    floors = set(re.findall(r"^from holdfast\.(\w+)", found[1], re.MULTILINE))
    assert floors <= {"codecs", "contract", "runtime", "store"}
