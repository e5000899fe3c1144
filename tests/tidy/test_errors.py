"""The error catalogue: one class per code, each explained."""

import ast
from collections import Counter
from collections.abc import Iterator

from holdfast.contract import errors
from holdfast.contract.errors.facts import facts_of
from tests.tidy import repository


def classes(base: type[errors.StoreError] = errors.StoreError) -> list[type[errors.StoreError]]:
    below = [found for child in base.__subclasses__() for found in classes(child)]
    # Tests elsewhere may derive their own; the catalogue is one package.
    return [found for found in (base, *below) if found.__module__.startswith(errors.__name__ + ".")]


def test_every_code_has_one_class() -> None:
    # Below a class that has a code, a refinement may share it; the catalogue names one per code.
    declared = Counter(found.code for found in classes() if "code" in vars(found))
    assert declared == Counter(dict.fromkeys(errors.ErrorCode, 1))
    assert errors.StoreError.by_code.keys() == set(errors.ErrorCode)


def test_every_class_says_what_happened() -> None:
    silent = [found.__name__ for found in classes() if not (found.__doc__ or "").strip()]
    assert not silent, f"say what happened, in one line: {silent}"
    texts = Counter((found.__doc__ or "").strip() for found in classes())
    assert texts.most_common(1)[0][1] == 1, "two errors with one explanation are one error"


def test_names_need_no_suffix() -> None:
    suffixed = [
        found.__name__
        for found in classes(errors.StoreError)
        if found is not errors.StoreError and found.__name__.endswith("Error")
    ]
    assert not suffixed, f"`except Conflict` reads better: {suffixed}"


def stated() -> Iterator[tuple[str, str, str]]:
    """Class, fact and place of every fact that the package states of an error."""
    catalogue = {found.__name__ for found in classes()}
    for name, path in repository.modules().items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                raised = ast.unparse(node.func).removeprefix("errors.")
                if raised in catalogue:
                    for one in node.keywords:
                        yield raised, str(one.arg), f"{name}:{node.lineno}"


def test_every_fact_that_is_stated_is_declared_with_its_type() -> None:
    found = list(stated())
    assert len(found) > 50
    undeclared = [
        f"{place}: {raised}.{fact}"
        for raised, fact, place in found
        if fact != "None"  # **details, handed on
        and raised != "StoreError"
        and fact not in facts_of(getattr(errors, raised))
    ]
    assert not undeclared, f"declare them in contract/errors, as a Fact each: {undeclared}"
