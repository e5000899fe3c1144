"""Fixtures of this folder."""

from tests.store.scene import kept_scene, pytest_pyfunc_call, scene

__all__ = ["kept_scene", "pytest_pyfunc_call", "scene"]
