"""The contract suite: prove that an engine, or a stack of layers, keeps every promise.

    from holdfast.testing import EngineContract

    class TestMine(EngineContract):
        engine_type = MyEngine

        def make_config(self, folder):
            return MyConfig(path=folder / "database")

`FaultsLayer` makes an engine fail or be slow by plan, to see what your own code does then.

Needs pytest and hypothesis, and no plug-in. Other processes import the test class from its file,
so it stands at the top of a module.
"""

import pytest

# Before the promises are imported, so that their assertions explain themselves.
pytest.register_assert_rewrite("holdfast.testing.contract", "holdfast.testing.subject")

from holdfast.layers.faults import Fault, FaultPlan, FaultsLayer  # noqa: E402
from holdfast.testing.contract import EngineContract  # noqa: E402
from holdfast.testing.promise import Section, promise, promises_of  # noqa: E402
from holdfast.testing.subject import Subject  # noqa: E402

__all__ = [
    "EngineContract",
    "Fault",
    "FaultPlan",
    "FaultsLayer",
    "Section",
    "Subject",
    "promise",
    "promises_of",
]
