"""A folder of LevelDB, read from a copy: opening the folder itself would change it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from holdfast.contract.errors import DriverMissing, IntegrityFailed
from holdfast.stores.migration.importing.source import Item, Source, foreign, looks

#: Files that LevelDB writes once, and never changes.
_TABLES: Final = (".ldb", ".sst")


def is_leveldb(folder: Path) -> bool:
    """Whether a folder has what LevelDB begins with, and nothing of RocksDB."""
    return (folder / "CURRENT").is_file() and not list(folder.glob("OPTIONS-*"))


class LeveldbSource(Source):
    """A folder of LevelDB that no process has open.

    Its tables are linked into a temporary folder where that can be, otherwise copied; LevelDB
    opens that folder, so the source stays as it is.

    Args:
        folder: of the database.

    Raises:
        DriverMissing: the package `plyvel` is not installed.
        InvalidInput: a foreign folder.
        IntegrityFailed: files are missing or damaged.
    """

    kind = "leveldb"
    raw = True

    def __init__(self, folder: Path) -> None:
        try:
            import plyvel
        except ModuleNotFoundError as error:
            raise DriverMissing(
                "the importer of LevelDB folders needs the package plyvel; it is not installed. "
                "Next: pip install 'holdfast-db[leveldb]', on Python 3.11 or 3.12 on Linux",
                driver="plyvel",
            ) from error
        if not is_leveldb(folder):
            foreign(self.kind, folder, "no folder with a file CURRENT, or one of RocksDB")
        self._folder, self._failure = folder, plyvel.Error
        with ExitStack() as opened:
            self._copy = Path(opened.enter_context(TemporaryDirectory(prefix="holdfast-leveldb-")))
            for file in sorted(folder.iterdir()):
                if file.is_file() and file.name != "LOCK":
                    try:
                        _take(file, self._copy / file.name)
                    except FileNotFoundError as error:
                        raise self._damaged(error) from None
            try:
                self._database: Any = plyvel.DB(str(self._copy), paranoid_checks=True)
            except plyvel.Error as error:
                raise self._damaged(error) from None
            opened.callback(self._database.close)
            self._open = opened.pop_all()

    def items(self) -> Iterator[Item]:
        try:
            with self._database.iterator(verify_checksums=True, fill_cache=False) as pairs:
                for key, value in pairs:
                    yield Item(key, value)
        except self._failure as error:
            raise self._damaged(error) from None

    def look(self) -> object:
        # Who opens a LevelDB writes a new MANIFEST and log, so that the names tell, too.
        return looks(self._folder.iterdir())

    def close(self) -> None:
        self._open.close()

    def _damaged(self, error: Exception) -> IntegrityFailed:
        said = str(error).replace(str(self._copy), str(self._folder))
        return IntegrityFailed(
            f"the LevelDB folder {self._folder} cannot be read ({said}): files are missing or "
            "damaged, or a program has it open. End that program, or copy the folder again",
            path=str(self._folder),
        )


def _take(file: Path, target: Path) -> None:
    if file.suffix in _TABLES:
        try:
            os.link(file, target)
        except OSError:
            pass  # Another file system, or one without links.
        else:
            return
    shutil.copyfile(file, target)
