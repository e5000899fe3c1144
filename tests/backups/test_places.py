"""Where backups go: what is left behind when one is broken off."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.zip import ZipFileSystem

from holdfast.backups.places import written


def break_off(system: Any, path: str) -> None:
    with written(system, path) as stream:
        stream.write(b"half")
        raise KeyboardInterrupt


def test_a_file_that_is_broken_off_is_removed(tmp_path: Path) -> None:
    path = str(tmp_path / "folder" / "app.backup")
    with pytest.raises(KeyboardInterrupt):
        break_off(LocalFileSystem(), path)
    assert not Path(path).exists()


def test_where_nothing_can_be_removed_the_caller_still_gets_what_went_wrong(tmp_path: Path) -> None:
    system = ZipFileSystem(str(tmp_path / "all.zip"), mode="w")
    # An archive takes files and lets go of none, and this is how it says so.
    with pytest.raises(NotImplementedError):
        system.rm_file("anything")
    with pytest.raises(KeyboardInterrupt):
        break_off(system, "app.backup")
    system.close()
    assert zipfile.ZipFile(tmp_path / "all.zip").namelist() == ["app.backup"]
