"""Rows of structure: there is one engine contract, named once."""

import ast
import re

import pytest

import holdfast.contract.engine
from holdfast.contract.engine import Engine
from holdfast.store.registry import engine_class
from tests.store.scene import ENGINES
from tests.tidy import repository

#: The verbs that make a class a driver of ordered bytes.
VERBS = {"read", "scan", "commit", "transact"}
#: Two names of the seeds for what is one thing here.
SEED_NAMES = ("CoreStorageInterface", "ICoreStorage")


def declared_contracts() -> list[str]:
    """Every abstract class or protocol that states the verbs of an engine, by module."""
    found = []
    for name, path in repository.modules().items():
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ClassDef):
                continue
            bases = {ast.unparse(base).partition("[")[0] for base in node.bases}
            methods = {
                item.name
                for item in node.body
                if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)
            }
            driver = "Engine" in node.name or methods >= VERBS
            if driver and bases & {"ABC", "Protocol"}:
                found.append(f"{name}.{node.name}")
    return found


@pytest.mark.row("K-118")
def test_there_is_one_engine_contract_and_one_name_for_it() -> None:
    assert declared_contracts() == ["holdfast.contract.engine.Engine"]
    assert vars(Engine).keys() >= VERBS
    for name in ENGINES:
        assert issubclass(engine_class(name), Engine)
    for path in repository.modules().values():
        text = path.read_text()
        assert not any(name in text for name in SEED_NAMES), path


@pytest.mark.row("K-118")
def test_documents_define_the_contract_once() -> None:
    heading = re.compile(r"^#+ .*`?class Engine\b|^#+ `?Engine`?\s*$", re.MULTILINE)
    pages = [
        path.name
        for path in (repository.ROOT / "docs").rglob("*.md")
        if heading.search(path.read_text())
    ]
    assert pages == [f"{holdfast.contract.engine.__name__}.md"]
    both = [
        (path.name, line)
        for path in (repository.ROOT / "docs").rglob("*.md")
        for line in path.read_text().splitlines()
        if any(name in line for name in SEED_NAMES)
    ]
    for page, line in both:
        assert page == "seed-names.md"
        assert "Engine" in line
