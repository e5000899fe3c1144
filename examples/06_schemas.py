"""Schemas: refuse what does not fit, migrate what is old, and form one object of several keys."""

import asyncio
from dataclasses import dataclass

import holdfast
from holdfast.contract.errors import SchemaValidationFailed

CITY = {
    "type": "object",
    "required": ["name", "population"],
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "population": {"type": "integer", "minimum": 0},
    },
}


@dataclass
class City:
    name: str
    people: int
    country: str


def city_of(old: dict) -> dict:
    return {"name": old["name"], "people": old["population"], "country": "unknown"}


@dataclass
class Comparison:
    first: City
    second: City


async def main() -> None:
    async with holdfast.open("lmdb:///schemas") as db:
        old = await db.schemas.register(CITY)
        await db.schemas.require("cities", old)
        tokyo = await db.entries.set("cities:tokyo", {"name": "Tokyo", "population": 9_733_276})
        print("fits", tokyo.metadata.schema_hash[:12])

        try:
            await db.entries.modify("cities:tokyo", lambda city: city | {"population": "many"})
        except SchemaValidationFailed as refused:
            print("refused:", refused.violations)

        # A new shape: require it, say how the old becomes the new.
        new = await db.schemas.register(City)
        db.schemas.register_migration(old, new, city_of)
        await db.schemas.require("cities", City)
        await db.entries.set("cities:oslo", {"name": "Oslo", "people": 717_710, "country": "NO"})

        # Reading brings an entry there, once; what was before is in its history.
        tokyo = await db.entries.get("cities:tokyo", expect=City)
        print("version", tokyo.metadata.version, tokyo.value)
        print(await db.schemas.migrate("cities", to=City))

        mapping = {"first": "cities:tokyo", "second": "cities:oslo"}
        print(await db.create_payload(mapping, into=Comparison))


asyncio.run(main())
