"""Layers put on an engine when it is opened, by name or as objects.

    stack(engine, "read_only,mine")          # as `?layers=read_only,mine` in a URL
    stack(engine, "retry:attempts=5")        # a layer that has settings, with some of them
    stack(engine, ["read_only", MyLayer])    # names and whatever makes a layer of an engine

The first one is outermost: a call passes them in the order in which they are written. What the
stack can do is what its outermost layer says; each layer derives that from the engine below it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from holdfast.contract.engine import Engine
from holdfast.contract.errors import ConfigInvalid, DriverMissing
from holdfast.contract.layering import LayerSettings


def entry_points(**wanted: str) -> Any:
    """The entry points of installed distributions. Loaded when asked for: it takes its time."""
    from importlib import metadata

    return metadata.entry_points(**wanted)


#: The entry-point group under which other distributions register layers.
GROUP = "holdfast.layers"
#: How many layers one engine can have above it.
LAYERS_MAX = 16

#: Makes a layer around an engine, usually a subclass of `Layer`.
MakeLayer = Callable[[Engine], Engine]

#: Ours, so that naming one does not read the metadata of every installed distribution.
OURS = {
    "breaker": "holdfast.layers.breaker:Breaker",
    "cache": "holdfast.layers.cache:Cache",
    "compress": "holdfast.layers.compress:Compress",
    "metrics": "holdfast.layers.metrics:Metrics",
    "offload": "holdfast.layers.offload:Offload",
    "read_only": "holdfast.layers.read_only:ReadOnlyLayer",
    "retry": "holdfast.layers.retry:Retry",
    "time_limit": "holdfast.layers.time_limit:TimeLimit",
}
#: Layers of ours that need more than an engine, with what they need.
_OBJECTS_ONLY = {
    "faults": "a plan: give `lambda engine: FaultsLayer(engine, plan)` (holdfast.testing)"
}


def stack(engine: Engine, layers: str | Sequence[str | MakeLayer]) -> Engine:
    """The engine with the layers above it; the engine itself when there are none.

    Nothing is opened. Layers are loaded when they are first named.

    Raises:
        ConfigInvalid: a name is unknown, empty or given twice, or something makes no engine.
        DriverMissing: a layer needs a module that is not installed.
    """
    wanted = _listed(layers)
    makers = [_maker(one) if isinstance(one, str) else one for one in wanted]
    for make in reversed(makers):
        engine = _made(make, engine)
    return engine


def layer_names() -> list[str]:
    """The names that can be given, ours and those of installed distributions."""
    return sorted({*OURS, *(point.name for point in entry_points(group=GROUP))})


def _listed(layers: str | Sequence[str | MakeLayer]) -> list[str | MakeLayer]:
    if isinstance(layers, str):
        layers = [name.strip() for name in layers.split(",")] if layers.strip() else []
    listed = list(layers)
    if len(listed) > LAYERS_MAX:
        raise ConfigInvalid(
            f"an engine has at most {LAYERS_MAX} layers above it; found {len(listed)}",
            parameter="layers",
        )
    names = [one.partition(":")[0] for one in listed if isinstance(one, str)]
    for name in names:
        if names.count(name) > 1:
            raise ConfigInvalid(
                f"each layer is named once; found {name!r} {names.count(name)} times",
                parameter="layers",
            )
    return listed


def _maker(text: str) -> MakeLayer:
    """What makes the layer of that name, with the settings that follow it."""
    name, colon, settings = text.partition(":")
    make: Any = _named(name)
    if isinstance(make, type) and issubclass(make, LayerSettings):
        return make.from_text(settings)
    if colon:
        raise ConfigInvalid(
            f"the layer {name} takes no settings; found {settings.partition('=')[0]!r}",
            parameter="layers",
        )
    maker: MakeLayer = make
    return maker


def _named(name: str) -> MakeLayer:
    target = OURS.get(name)
    if target is None:
        if name in _OBJECTS_ONLY:
            raise ConfigInvalid(
                f"the layer {name} cannot be made from its name, because it takes "
                f"{_OBJECTS_ONLY[name]}",
                parameter="layers",
            )
        points = entry_points(group=GROUP, name=name)
        if not points:
            raise _unknown(name)
        target = next(iter(points)).value
    module_name, _, attribute = target.partition(":")
    try:
        make: MakeLayer = getattr(import_module(module_name), attribute)
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] == "holdfast":
            raise  # No driver is missing: the fault is in a layer itself.
        raise DriverMissing(
            f"the layer {name} needs the module {error.name!r}, which is not installed; install "
            "it, or leave the layer out",
            extra=name,
        ) from error
    return make


def _made(make: Any, engine: Engine) -> Engine:
    if not callable(make):
        raise ConfigInvalid(
            "a layer is a name or what makes one of an engine, such as its class; found a "
            f"{type(make).__name__}",
            parameter="layers",
        )
    layered = make(engine)
    if not isinstance(layered, Engine) or layered is engine:
        found = "the engine itself" if layered is engine else f"a {type(layered).__name__}"
        raise ConfigInvalid(
            f"{getattr(make, '__name__', make)!s} was to put a layer on an engine and gave {found}",
            parameter="layers",
        )
    return layered


def _unknown(name: str) -> ConfigInvalid:
    known = layer_names()
    meant = "".join(f"; did you mean {one!r}?" for one in get_close_matches(name, known, 1))
    wanted = ", ".join(known)
    found = repr(name) if name else "an empty name"
    return ConfigInvalid(
        f"the layers that can be named are {wanted}; found {found}{meant}. Others are registered "
        f"under the entry-point group {GROUP}, or given as objects",
        parameter="layers",
    )
