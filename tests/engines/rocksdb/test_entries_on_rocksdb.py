"""The core of the entries tests on `rocksdb://`: the very tests, on a scene of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.database.test_isolation import *  # noqa: F403 - the tests themselves
from tests.database.test_savepoints import *  # noqa: F403
from tests.records.test_bad_input import *  # noqa: F403
from tests.records.test_conditions import *  # type: ignore[assignment]  # noqa: F403
from tests.records.test_entries import *  # noqa: F403
from tests.records.test_history import *  # noqa: F403
from tests.records.test_time_to_live import *  # noqa: F403
from tests.store.scene import Scene
from tests.store.test_random_operations import *  # type: ignore[assignment]  # noqa: F403


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A fresh place on RocksDB."""
    return Scene("rocksdb", tmp_path)


@pytest.fixture
def kept_scene(tmp_path: Path) -> Scene:
    """The same: databases on it outlive their handles."""
    return Scene("rocksdb", tmp_path)
