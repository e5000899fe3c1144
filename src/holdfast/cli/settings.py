"""Settings of a database as lines of an export: which schemas are required, what past is kept.

    {"setting": "schemas", "value": {"cities": "b30215..."}}
    {"setting": "retention", "value": {"age_s": ..., "changes_max": ..., "namespaces": [...]}}

They stand behind the entries, because what a namespace requires now holds for what is written from
now on, and older entries need not fit it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from holdfast.cli import shown
from holdfast.contract.errors import InvalidInput, SchemaNotFound
from holdfast.database.handle import Database

SCHEMAS = "schemas"
RETENTION = "retention"


class Kept(msgspec.Struct, forbid_unknown_fields=True):
    """What a namespace keeps of the past; see `db.retention.keep`."""

    namespace: str
    values: str
    versions: int | None
    gone: str = "expired"
    view: str = "entries"
    keyspace: str = "entries"


class Retained(msgspec.Struct, forbid_unknown_fields=True):
    """What a database keeps of the past; see `db.retention`."""

    age_s: float
    changes_max: int
    namespaces: list[Kept]


class Setting(NamedTuple):
    """A setting in an import.

    Attributes:
        line: where it stands, from 1.
        name: which, `schemas` or `retention`.
        value: as exported, checked: digests by namespace, or what is retained.
    """

    line: int
    name: str
    value: Any


async def exported(db: Database) -> list[dict[str, Any]]:
    """The lines of the settings that are not as in a new database."""
    lines: list[dict[str, Any]] = []
    required = await db.schemas.required()
    if required:
        lines.append({"setting": SCHEMAS, "value": required})
    there = await db.retention.refresh()
    if there != type(there)():
        lines.append({"setting": RETENTION, "value": await retained(db)})
    return lines


async def retained(db: Database) -> dict[str, Any]:
    """What past the database keeps, as `Retained` reads it."""
    there = await db.retention.refresh()
    return {
        "age_s": there.feed_age_s,
        "changes_max": there.feed_changes_max,
        "namespaces": [
            {
                "namespace": one.namespace,
                "values": one.policy.values,
                "versions": one.policy.versions,
                "gone": one.policy.gone,
                "view": one.view,
                "keyspace": one.keyspace,
            }
            for one in await db.retention.kept()
        ],
    }


def setting_of(line: int, content: dict[str, Any]) -> Setting:
    """The setting that a row of an import spells. Raises InvalidInput."""
    name = content.get("setting")
    kinds: dict[Any, Any] = {SCHEMAS: dict[str, str], RETENTION: Retained}
    if not isinstance(name, str) or name not in kinds or content.keys() != {"setting", "value"}:
        raise InvalidInput(
            f'a setting is {SCHEMAS!r} or {RETENTION!r} and has a "value", as export writes them; '
            "found another one. It may be of a newer Holdfast"
        )
    try:
        return Setting(line, name, msgspec.convert(content["value"], kinds[name], strict=True))
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the setting {name!r} is not as export writes it: {error}") from error


async def apply(db: Database, setting: Setting, by: str | None) -> int:
    """Take a setting over; how many parts of it are new. What is so already is not written."""
    if setting.name == SCHEMAS:
        return await _require(db, setting.value, by)
    return await _retain(db, setting.value)


async def _require(db: Database, wanted: dict[str, str], by: str | None) -> int:
    there = await db.schemas.required()
    done = 0
    for namespace, digest in wanted.items():
        if there.get(namespace) == digest:
            continue
        try:
            await db.schemas.require(namespace, digest, modified_by=by)
            done += 1
        except SchemaNotFound as error:
            # Of a class or function: only a program that has its code can require it.
            shown.note(f"what {namespace or 'every namespace'} requires is left out: {error}")
    return done


async def _retain(db: Database, wanted: Retained) -> int:
    there = await db.retention.refresh()
    done = 0
    if (there.feed_age_s, there.feed_changes_max) != (wanted.age_s, wanted.changes_max):
        await db.retention.keep_feed(age_s=wanted.age_s, changes_max=wanted.changes_max)
        done += 1
    known = {
        (one.view, one.keyspace, one.namespace): one.policy for one in await db.retention.kept()
    }
    for one in wanted.namespaces:
        values: Any = one.values
        gone: Any = one.gone
        policy = known.get((one.view, one.keyspace, one.namespace))
        if policy is None or (policy.values, policy.versions, policy.gone) != (
            values, one.versions, gone,
        ):  # fmt: skip
            await db.retention.keep(
                one.namespace, values=values, versions=one.versions, gone=gone,
                view=one.view, keyspace=one.keyspace,
            )  # fmt: skip
            done += 1
    return done


def split(rows: Iterator[Any], into: dict[str, Setting]) -> Iterator[Any]:
    """The rows that are no settings; the last setting of each name is put aside."""
    for row in rows:
        if isinstance(row, Setting):
            into[row.name] = row
        else:
            yield row
