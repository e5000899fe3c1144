"""The page of the manual runs, and what it says how to add is added."""

import ast
import inspect
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from holdfast.contract import errors
from holdfast.contract.errors import ErrorCode, StoreError
from holdfast.state import MockStoreAdapter, build_store, limits
from holdfast.state.redis.config import RedisConfig
from holdfast.state.telemetry import OPERATIONS, RecordingTelemetry
from tests.state.conftest import RedisServer, command, opened, run
from tests.tidy import repository
from tests.tidy.test_documents import Page


@pytest.mark.row("D-009", "D-134", "D-100")
def test_the_page_runs_and_says_what_this_is_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = repository.ROOT / "docs/how-to/state.md"
    try:
        assert Page(path).run() == 19
    finally:
        for name in ("geo.add", "geo.distance"):
            OPERATIONS.pop(name, None)
    text = path.read_text()
    assert "state that comes and goes" in text
    assert "belongs in a database" in text


@pytest.mark.row("D-069", "D-116")
def test_an_area_is_added_as_the_page_says(redis: RedisServer, service: str) -> None:
    text = (repository.ROOT / "docs/how-to/state.md").read_text()
    [block] = re.findall(
        r"```python\n(from holdfast.state import ExtensionArea\n.*?)```", text, re.DOTALL
    )
    names: dict[str, Any] = {}
    exec(block.partition("geo = store")[0], names)
    telemetry = RecordingTelemetry()

    async def main() -> None:
        async with opened(redis, service, lambda b: b.with_telemetry(telemetry)) as root:
            store = root.scope("org", 1)
            geo = store.area(names["Geo"])
            await geo.add("sicily", "Palermo", 13.361389, 38.115556)
            await geo.add("sicily", "Catania", 15.087269, 37.502669)
            assert round(await geo.distance("sicily", "Palermo", "Catania")) == 166_274
            assert await geo.distance("sicily", "Palermo", "Rome") is None
            key = f"holdfast:state:{service}:org:1:x:geo:sicily"
            assert await command(root, "TYPE", key) == b"zset"
            assert await root.area(names["Geo"]).distance("sicily", "Palermo", "Catania") is None
            assert (await store.purge_scope()).removed == {"x": 1}

    try:
        run(main())
        assert telemetry.complaints == []
        assert telemetry.names[:2] == ["geo.add.started", "geo.add.success"]
    finally:
        for name in ("geo.add", "geo.distance"):
            OPERATIONS.pop(name, None)


@pytest.mark.row("D-123")
def test_a_hundred_questions_are_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = repository.ROOT / "docs/how-to/state-questions.md"
    text = path.read_text()
    asked = re.findall(r"^### (\d+)\. (.+\?)$", text, re.MULTILINE)
    assert [int(number) for number, _ in asked] == list(range(1, 101))
    assert len({question for _, question in asked}) == 100
    answers = re.split(r"^### \d+\. .+$", text, flags=re.MULTILINE)[1:]
    assert all(len(answer.split()) >= 1 for answer in answers)
    assert Page(path).run() == text.count("```python")


@pytest.mark.row("D-001", "D-102")
def test_the_manual_of_state_is_whole() -> None:
    """Pages and generated tables together; the code of the pages is run by the tests above."""
    docs = repository.ROOT / "docs"
    pages = [
        docs / f"how-to/{name}.md" for name in ("state", "state-questions", "state-operations")
    ]
    version = re.search(
        r'^version = "([\d.]+)"', (repository.ROOT / "pyproject.toml").read_text(), re.MULTILINE
    )
    assert version
    for page in pages:
        assert f"Holdfast {version[1]}, " in page.read_text()
    reference = sorted((docs / "reference").glob("holdfast.state*.md"))
    assert sum(len(page.read_text().splitlines()) for page in pages + reference) >= 1500
    # Every area has a table of its methods.
    store = build_store(MockStoreAdapter(), "api")
    areas: list[Any] = [
        store.kv, store.batch, store.counter, store.claim, store.limiter, store.semaphore,
        store.presence, store.cache, store.bloom, store.dev, store.events, store.streams,
        store.streams.group("g", "c"),
    ]  # fmt: skip
    for area in areas:
        kind = type(area)
        text = (docs / "reference" / f"{kind.__module__}.md").read_text()
        for name, member in vars(kind).items():
            if not name.startswith("_") and inspect.isfunction(member):
                assert f"### `{kind.__name__}.{name}`" in text


@pytest.mark.row("D-131")
def test_the_supported_pythons_are_those_of_the_metadata() -> None:
    metadata = (repository.ROOT / "pyproject.toml").read_text()
    versions = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', metadata)
    text = (repository.ROOT / "docs/how-to/state-questions.md").read_text()
    [answer] = re.findall(r"### 7\..*\n(.*)\n", text)
    assert re.findall(r"3\.\d+", answer) == versions


@pytest.mark.row("D-137")
def test_each_module_says_what_it_is_for() -> None:
    for path in (repository.SOURCE / "holdfast/state").rglob("*.py"):
        doc = ast.get_docstring(ast.parse(path.read_text()))
        assert doc, path
        assert len(doc.split()) >= 5, path


@pytest.mark.row("D-077")
def test_public_names_are_listed_and_lead_somewhere() -> None:
    import holdfast.state as package

    assert sorted(package.__all__) == sorted(set(package.__all__))
    for name in package.__all__:
        assert getattr(package, name).__doc__, name
    with pytest.raises(AttributeError):
        package.Nothing  # noqa: B018 - it is asked for


@pytest.mark.row("D-074")
def test_docstrings_are_there_where_it_is_installed() -> None:
    """Optimised as servers run it (`-O`), help still has something to say."""
    script = (
        "import pydoc, holdfast.state as state\n"
        "for name in state.__all__:\n"
        "    kind = getattr(state, name)\n"
        "    assert kind.__doc__, name\n"
        "text = pydoc.plain(pydoc.render_doc(state.ScopedStore))\n"
        "assert 'Remove every key of every area' in text\n"
        "assert 'Values under keys.' in text\n"
    )
    subprocess.run([sys.executable, "-O", "-c", script], check=True, timeout=120)


@pytest.mark.row("D-011")
def test_the_contract_of_adapters_has_types_and_no_implementation() -> None:
    path = repository.SOURCE / "holdfast/state/adapter.py"
    tree = ast.parse(path.read_text())
    imported = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert {one for one in imported if one and one.startswith("holdfast")} == {
        "holdfast.contract.engine", "holdfast.contract.errors", "holdfast.state.bounds",
    }  # fmt: skip
    bodies = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not all(
            isinstance(one, ast.Expr)
            or (isinstance(one, ast.Return) and ast.unparse(one) in ("return None", "return self"))
            or isinstance(one, ast.Raise)
            for one in node.body
        )
    ]
    assert bodies == []


def _operations() -> str:
    return (repository.ROOT / "docs/how-to/state-operations.md").read_text()


def test_the_page_of_operations_explains_each_code() -> None:
    """Whatever the source of state raises, and what its servers say."""
    explained = re.findall(r"^\| `([A-Z_]+)` \| \S.* \| \S.* \|$", _operations(), re.MULTILINE)
    assert len(explained) == len(set(explained))
    known = {ErrorCode.parse(code) for code in explained}
    assert len(known) == len(explained)
    raised = set()
    for path in (repository.SOURCE / "holdfast/state").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Name):
                kind = getattr(errors, node.id, None)
                if isinstance(kind, type) and issubclass(kind, StoreError):
                    raised.add(kind.code)
    assert sorted(raised - known) == []


def test_the_limits_of_the_page_are_those_of_the_code() -> None:
    settings = {one.name: one.default for one in fields(RedisConfig)}
    found = re.findall(r"^\| .* \| `([A-Za-z_]+)` \| (\d+)(.*) \|$", _operations(), re.MULTILINE)
    assert len(found) == 9
    for name, number, more in found:
        assert int(number) == getattr(limits, name, settings.get(name)), name
        advised = getattr(limits, name.replace("_MAX", "_ADVISED"), None)
        if "warned" in more:
            assert str(advised) in more


@pytest.mark.row("D-131")
def test_the_matrix_of_the_page_has_the_pythons_of_the_metadata() -> None:
    metadata = (repository.ROOT / "pyproject.toml").read_text()
    versions = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', metadata)
    [row] = re.findall(r"^\| CPython \|(.*)\|$", _operations(), re.MULTILINE)
    assert re.findall(r"3\.\d+", row) == versions
