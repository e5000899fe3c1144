"""What `holdfast.documents` gives by name, loaded when it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import holdfast.documents


@pytest.mark.parametrize("name", holdfast.documents.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(holdfast.documents, name).__module__.startswith("holdfast.documents.") or (
        name == "F"
    )
    assert name in dir(holdfast.documents)


def test_a_name_that_is_not_there_is_told_as_python_does() -> None:
    with pytest.raises(AttributeError, match="no attribute 'G'"):
        _ = holdfast.documents.G  # type: ignore[attr-defined]


def test_the_package_alone_loads_nothing_of_documents() -> None:
    script = (
        "import sys, holdfast.documents;"
        "print([one for one in sys.modules if one.startswith('holdfast.documents.query')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "[]"
