"""Each interface of stores has a page with what a reader looks for, and it is fresh."""

from __future__ import annotations

import importlib
import re

import pytest

from tests.tidy import repository
from tools import make_interfaces

PAGES = make_interfaces.pages()


@pytest.mark.row("E-124")
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_has_every_part_and_is_fresh(path: object) -> None:
    assert isinstance(path, type(repository.ROOT))
    text = path.read_text()
    assert text == PAGES[path], "run `python -m tools.make_interfaces`"
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings == list(make_interfaces.HEADINGS)
    for part in re.split(r"^## .+$", text, flags=re.MULTILINE)[1:]:
        assert part.strip(), "no part is empty"


def test_every_method_is_told_with_its_purpose() -> None:
    for place in make_interfaces.INTERFACES.values():
        module, _, name = place.partition(":")
        methods = make_interfaces.methods_of(getattr(importlib.import_module(module), name))
        assert methods
        for method in methods:
            assert method.purpose, f"{name}.{method.name} has no docstring"
