"""The views on Redis: the core of their tests, each on a database of a real server."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from tests.engines.redis.scene import redis_config
from tests.engines.servers.views import view_tests
from tests.store.scene import Scene

_numbers = count(1)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A fresh database on the server."""
    made = Scene("memory", tmp_path)
    made.engine = "redis"
    made.url = redis_config(f"{tmp_path}-{next(_numbers)}").url_with_secrets
    return made


kept_scene = scene

globals().update(view_tests())
