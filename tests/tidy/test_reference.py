"""The generated documents: fresh, whole, and with something to say about every name."""

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.contract.errors import ErrorCode, StoreError
from tests.tidy import repository

REFERENCE = repository.ROOT / "docs/reference"


def page(name: str) -> str:
    return (REFERENCE / f"{name}.md").read_text()


def said(owner: type, name: str, member: Any) -> str:
    """What is said of a member: its docstring, or the line of the class's attributes."""
    listed = re.search(
        rf"^ +(?:\w+, )*{name}(?:, \w+)*: (.+)", inspect.getdoc(owner) or "", re.MULTILINE
    )
    return inspect.getdoc(member) or (listed[1] if listed else "")


def public_members(owner: type) -> dict[str, Any]:
    return {
        name: getattr(owner, name)
        for base in owner.__mro__
        if base.__module__.startswith("holdfast")
        for name, member in vars(base).items()
        if not name.startswith("_")
        and (inspect.isroutine(member) or isinstance(member, property | classmethod))
    }


def test_the_generated_documents_are_fresh() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tools.make_reference", "--check"],
        cwd=repository.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_stale_document_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tools import make_reference

    stale = tmp_path / "page.md"
    stale.write_text("as it was")
    monkeypatch.setattr(make_reference, "documents", lambda: {stale: "as it is"})
    monkeypatch.setattr(make_reference, "DOCS", tmp_path)
    monkeypatch.setattr(make_reference, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["make_reference", "--check"])
    assert make_reference.main() == 1
    assert stale.read_text() == "as it was"
    monkeypatch.setattr(sys, "argv", ["make_reference"])
    assert make_reference.main() == 0
    assert stale.read_text() == "as it is"


@pytest.mark.parametrize("name", holdfast.__all__)
def test_every_public_name_is_explained_in_the_reference(name: str) -> None:
    text = page("holdfast")
    member = getattr(holdfast, name)
    if not inspect.isroutine(member) and not inspect.isclass(member):
        row = re.search(rf"^\| `{name}` \| .* \| (.+) \|$", text, re.MULTILINE)
        assert row, f"{name} is a constant without an explanation"
        return
    assert f"\n## `{name}`\n" in text
    words = re.findall(r"\w+", inspect.getdoc(member) or "")
    assert len(words) > 3, f"the docstring of {name} says nothing"
    assert words != re.findall(r"\w+", name)
    if inspect.isclass(member) and not issubclass(member, ErrorCode):
        silent = [
            one for one, what in public_members(member).items() if not said(member, one, what)
        ]
        assert not silent, f"{name} has members that nothing explains: {silent}"


def test_what_a_handle_hands_out_is_in_the_reference() -> None:
    for name in ("Lock", "Retention", "SchemaRegistry", "SubscriptionFacts", "Trimmed"):
        assert f"\n## `{name}`\n" in page("holdfast")


@pytest.mark.parametrize("package", ["contract", "codecs", "records.decorators"])
def test_every_module_of_these_packages_has_its_page(package: str) -> None:
    modules = {
        name
        for name in repository.modules()
        if name.startswith(f"holdfast.{package}.")
        and not name.startswith("holdfast.contract.errors")  # a document of its own
    }
    assert modules == {name for name in modules if (REFERENCE / f"{name}.md").exists()}


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_error_says_what_it_means_and_what_comes_next(code: ErrorCode) -> None:
    text = (repository.ROOT / "docs/errors.md").read_text()
    section = re.search(rf"^### `{code}`\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    assert section, f"{code} has no heading"
    kind = StoreError.by_code[code]
    assert f"Class `{kind.__name__}`" in section[1]
    assert f"Retryable: {'yes' if kind.retryable else 'no'}." in section[1]
    assert re.search(r"^Next: .{10,}", section[1], re.MULTILINE) or kind is StoreError


def test_the_engines_page_tells_what_an_open_database_tells() -> None:
    from holdfast import sync

    with sync.open("memory://") as db:
        found = db.capabilities
    text = (repository.ROOT / "docs/engines.md").read_text()
    heads = re.search(r"^\|.*\bmemory\b.*\|$", text, re.MULTILINE)
    assert heads
    # Behind the column of names, whatever engines stand before it.
    place = [head.strip(" `[]") for head in heads[0].strip("|").split("|")].index("memory") - 1
    row = re.search(r"^\| `persistent` \|(.+)\|$", text, re.MULTILINE)
    assert row
    assert row[1].split("|")[place].strip() == ("yes" if found.persistent else "no")
    limit = re.search(r"^\| `batch_operations_max` \|(.+)\|$", text, re.MULTILINE)
    assert limit
    assert limit[1].split("|")[place].strip() == f"{found.batch_operations_max:,}"
