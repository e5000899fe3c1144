"""Layers are put on an engine by name or as objects, and what cannot be is refused by name."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest

from holdfast.contract.batch import Batch, Put
from holdfast.contract.engine import Engine, Layer
from holdfast.contract.errors import ConfigInvalid, DriverMissing, ReadOnly
from holdfast.engines.memory import MemoryConfig, MemoryEngine
from holdfast.layers import stack as stacking
from holdfast.layers.faults import Fault, FaultPlan, FaultsLayer
from holdfast.layers.read_only import ReadOnlyLayer
from holdfast.layers.stack import LAYERS_MAX, layer_names, stack
from holdfast.runtime.system import drive, system_components


class Named(Layer):
    """Tells who was called, in the order of the calls."""

    passes_reads = True
    calls: list[str] = []  # noqa: RUF012 - cleared by the test that reads it

    async def head(self) -> int:
        self.calls.append(type(self).__name__)
        return await self.inner.head()


class Other(Named):
    pass


@pytest.fixture
def engine() -> Engine:
    return MemoryEngine(MemoryConfig(), system_components())


@pytest.mark.parametrize("nothing", ["", "  ", [], ()])
def test_no_layers_are_the_engine_itself(engine: Engine, nothing: Any) -> None:
    assert stack(engine, nothing) is engine


def test_a_name_and_its_class_do_the_same(engine: Engine) -> None:
    drive(engine.open())
    by_name: list[Any] = ["read_only", ["read_only"], [ReadOnlyLayer]]
    for layers in by_name:
        layered = stack(engine, layers)
        assert type(layered) is ReadOnlyLayer
        assert not layered.capabilities.writable
        assert engine.capabilities.writable
        with pytest.raises(ReadOnly):
            drive(layered.commit(Batch([Put(b"k", b"")])))


def test_a_call_passes_the_layers_in_the_order_they_are_written(engine: Engine) -> None:
    drive(engine.open())
    Named.calls.clear()
    layered = stack(engine, [Named, "read_only", Other])
    assert drive(layered.head()) == 0
    assert Named.calls == ["Named", "Other"]
    assert isinstance(layered, Named)
    assert isinstance(layered.inner, ReadOnlyLayer)
    assert isinstance(layered.inner.inner, Other)
    assert layered.inner.inner.inner is engine
    assert not layered.capabilities.writable
    assert layered.peek is not None
    assert layered.peek(b"k") is None


def test_what_needs_more_than_an_engine_is_given_as_an_object(engine: Engine) -> None:
    plan = FaultPlan((Fault("head", on=1, error=ReadOnly("planned")),))
    layered = stack(engine, [lambda below: FaultsLayer(below, plan)])
    drive(layered.open())
    with pytest.raises(ReadOnly, match="planned"):
        drive(layered.head())
    with pytest.raises(ConfigInvalid, match="takes a plan"):
        stack(engine, "faults")


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ("readonly", "found 'readonly'; did you mean 'read_only'"),
        ("read_only,", "found an empty name"),
        (",", "found an empty name|each layer is named once"),
        ("read_only,read_only", "'read_only' 2 times"),
        (["read_only", "READ_ONLY"], "found 'READ_ONLY'"),
        ([7], "found a int"),
        ([None], "found a NoneType"),
        ([lambda engine: engine], "gave the engine itself"),
        ([lambda engine: None], "gave a NoneType"),
        (["read_only"] * (LAYERS_MAX + 1), f"at most {LAYERS_MAX} layers"),
    ],
)
def test_what_makes_no_stack_is_refused(engine: Engine, layers: Any, said: str) -> None:
    with pytest.raises(ConfigInvalid, match=said) as refusal:
        stack(engine, layers)
    assert refusal.value.details["parameter"] == "layers"


def test_installed_distributions_bring_layers(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = EntryPoints([
        EntryPoint("named", f"{__name__}:Named", stacking.GROUP),
        EntryPoint("driverless", "a_module_that_nobody_has:Layer", stacking.GROUP),
    ])  # fmt: skip
    # The machine's own metadata cannot be changed for a test; what is found in it can.
    monkeypatch.setattr(stacking, "entry_points", points.select)
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this_module())
    assert {"named", "driverless", "read_only"} <= set(layer_names())
    assert type(stack(engine, "named")).__name__ == "Named"
    with pytest.raises(DriverMissing, match="a_module_that_nobody_has"):
        stack(engine, "driverless")


def _this_module() -> Any:
    import types

    module = types.ModuleType(__name__)
    vars(module)["Named"] = Named
    return module
