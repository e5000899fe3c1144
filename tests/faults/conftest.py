"""Coroutines as tests, in this folder."""

from tests.store.scene import pytest_pyfunc_call

__all__ = ["pytest_pyfunc_call"]
