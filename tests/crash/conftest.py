"""Fixtures of this folder."""

import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def medium(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that stands between a process and its files, see `medium.c`."""
    library = tmp_path_factory.mktemp("medium") / "medium.so"
    source = Path(__file__).with_name("medium.c")
    command = [
        "cc",
        "-O2",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-shared",
        "-fPIC",
        "-o",
        str(library),
        str(source),
        "-ldl",
        "-lpthread",
    ]
    subprocess.run(command, check=True, timeout=120)
    return library
