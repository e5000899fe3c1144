"""Fixtures of this folder."""

from pathlib import Path

import pytest

from tests.store.scene import PERSISTENT, Scene, kept_scene, pytest_pyfunc_call, scene

__all__ = ["kept_scene", "pytest_pyfunc_call", "scene", "shared_scene"]


@pytest.fixture(params=[name for name in PERSISTENT if name != "file"])
def shared_scene(request: pytest.FixtureRequest, tmp_path: Path) -> Scene:
    """A fresh place on each engine whose databases several processes have open at once."""
    return Scene(request.param, tmp_path)
