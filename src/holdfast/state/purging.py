"""Wiping a scope: every key of every area in it and below it, counted, with a record of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from holdfast.contract.errors import InvalidInput
from holdfast.state.areas.area import Scene
from holdfast.state.checks import bad_cursor, whole
from holdfast.state.keys import AREAS, ScopedKeys
from holdfast.state.telemetry import operation

_PURGE = operation("scope.purge", "scope", {}, {"ctx.scope.count": int})

#: Keys that one step looks at.
STEP_KEYS = 1000
STEPS_MAX = 10**12
#: The stream of the service, outside all scopes, that keeps the records of purges.
AUDIT_STREAM = "purges"
AUDIT_RECORDS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class PurgeReport:
    """What was removed.

    Attributes:
        scope: keys of the scopes, outermost first, and the identifiers.
        removed: how many keys of each area.
        cursor: where to go on; "0" when all of it is gone.
        record: id of the record in the stream of purges, once it is done.
    """

    scope: tuple[tuple[str, str], ...]
    removed: dict[str, int]
    cursor: str
    record: str | None

    @property
    def total(self) -> int:
        """How many keys in all."""
        return sum(self.removed.values())


async def purge(scene: Scene, cursor: str, steps_max: int | None) -> PurgeReport:
    """Remove what is in a scope. What is written meanwhile may stay; purge again then."""
    keys = scene.keys
    if not isinstance(cursor, str):
        raise bad_cursor()
    if steps_max is not None:
        whole("steps", steps_max, 1, STEPS_MAX)
    if not keys.chain:
        raise InvalidInput(
            "a scope is purged: store.scope(key, identifier).purge_scope(); found the store of the "
            "whole service"
        )
    return await scene.observer.run(
        _PURGE,
        "",
        _purge(scene, cursor, steps_max),
        success=lambda report: {"ctx.scope.count": report.total},
    )


async def _purge(scene: Scene, cursor: str, steps_max: int | None) -> PurgeReport:
    keys = scene.keys
    removed: Counter[str] = Counter()
    at, steps = cursor, 0
    while True:
        page = await scene.adapter.scan(keys.everything, at, STEP_KEYS)
        for area, found in _by_area(keys, page.keys).items():
            removed[area] += await scene.adapter.delete(found)
        at, steps = page.cursor, steps + 1
        if at == "0" or (steps_max is not None and steps >= steps_max):
            break
    record = None
    if at == "0":
        root = ScopedKeys(keys.service, keys.prefix, hash_tags=keys.hash_tags)
        told: dict[str, Any] = {
            "scope": [[one.key, one.identifier] for one in keys.chain],
            "removed": dict(removed),
            "at": scene.components.clock.now_ms(),
        }
        record = await scene.adapter.append(
            root.build("streams", AUDIT_STREAM),
            scene.encode(told),
            length_max=AUDIT_RECORDS_MAX,
        )
    chain = tuple((one.key, one.identifier) for one in keys.chain)
    return PurgeReport(chain, dict(removed), at, record)


def _by_area(keys: ScopedKeys, found: list[str]) -> dict[str, list[str]]:
    """Keys by their area. What only looks like a key of this scope is left out."""
    by_area: dict[str, list[str]] = {}
    for key in found:
        area = keys.area_of(key)
        if area in AREAS:
            by_area.setdefault(area, []).append(key)
    return by_area
