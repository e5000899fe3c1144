"""Opening a store in a new process. Imports nothing that a store would have to import."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from time import perf_counter

from benchmarks.catalogue import subject
from benchmarks.child import Session
from benchmarks.data import Wrong, key_of


def open_cold(session: Session, name: str, folder: Path, place: int) -> tuple[float, float, float]:
    """Milliseconds of import, opening and the first value."""
    one = subject(name)
    moments = [perf_counter()]
    import_module(one.maker.partition(":")[0])
    for module in one.requires:
        import_module(module)
    moments.append(perf_counter())
    store = one.store(folder)
    store.start()
    session.stores[name] = store
    moments.append(perf_counter())
    value = store.value(key_of(place))
    moments.append(perf_counter())
    if value is None or value["number"] != place:
        raise Wrong(f"{name} does not hold {key_of(place)} after it was opened again")
    first, second, third, fourth = moments
    return (second - first) * 1000, (third - second) * 1000, (fourth - third) * 1000
