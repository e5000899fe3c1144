"""Coroutines run on a loop of their own; databases lie in memory, for thousands of flushes come."""

from tests.engines.lsm.memory import tmp_path
from tests.store.scene import pytest_pyfunc_call

__all__ = ["pytest_pyfunc_call", "tmp_path"]
