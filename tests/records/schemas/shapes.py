"""Schemas that the tests of this folder share: people, said in every way there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import pydantic

#: What no error may ever show.
SECRET = "s3cret-of-the-user"

PERSON: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "age": {"type": "integer", "minimum": 0},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
}

#: Three shapes of one thing, each made from the one before.
FIRST: dict[str, Any] = {
    "type": "object", "required": ["name"], "properties": {"name": {"type": "string"}},
}  # fmt: skip
SECOND: dict[str, Any] = {
    "type": "object", "required": ["names"],
    "properties": {"names": {"type": "array", "items": {"type": "string"}}},
}  # fmt: skip
THIRD: dict[str, Any] = {
    "type": "object", "required": ["given", "family"],
    "properties": {"given": {"type": "string"}, "family": {"type": "string"}},
}  # fmt: skip


def first_to_second(value: dict[str, Any]) -> dict[str, Any]:
    return {"names": value.pop("name").split()}


def second_to_third(value: dict[str, Any]) -> dict[str, Any]:
    given, family = value["names"]
    return {"given": given, "family": family}


class StructPerson(msgspec.Struct):
    """A person."""

    name: Annotated[str, msgspec.Meta(min_length=1)]
    age: Annotated[int, msgspec.Meta(ge=0)] = 0
    tags: list[str] = []


@dataclass
class DataclassPerson:
    """A person."""

    name: Annotated[str, msgspec.Meta(min_length=1)]
    age: Annotated[int, msgspec.Meta(ge=0)] = 0
    tags: list[str] | None = None


class PydanticPerson(pydantic.BaseModel):
    """A person."""

    name: str = pydantic.Field(min_length=1)
    age: int = pydantic.Field(default=0, ge=0)
    tags: list[str] = []


def check_person(value: Any) -> None:
    """A person."""
    if not isinstance(value["name"], str) or not value["name"]:
        raise ValueError("a person has a name")
    if not isinstance(value.get("age", 0), int) or value.get("age", 0) < 0:
        raise ValueError("an age is not negative")
    if not all(isinstance(tag, str) for tag in value.get("tags", [])):
        raise ValueError("tags are text")


#: The same rules in every way; what one refuses all refuse.
PEOPLE: dict[str, Any] = {
    "json": PERSON,
    "struct": StructPerson,
    "dataclass": DataclassPerson,
    "pydantic": PydanticPerson,
    "function": check_person,
}
