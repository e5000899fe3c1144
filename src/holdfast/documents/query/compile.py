"""Conditions compiled to closures: what `evaluate` says, several times faster.

A condition becomes a test of one value and, around it, a walk that expects what most documents
have at the path: objects on the way and no array at its end. What is different takes the general
way, the same for all. Documents must be plain values, as the codecs give them back.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from holdfast.documents.query.nodes import (
    And,
    Comparison,
    ElementMatch,
    Exists,
    Matches,
    Membership,
    Near,
    Nested,
    Node,
    Not,
    Or,
    Regex,
    Within,
)
from holdfast.documents.query.paths import Path, values_at
from holdfast.documents.query.places import Box, Distance, Point, haversine, read_point
from holdfast.documents.query.regex import regex_search
from holdfast.documents.query.texts import TextMatcher, all_words
from holdfast.documents.query.values import (
    INSTANT,
    MISSING,
    NULL,
    NUMBER,
    TEXT,
    Constant,
    microseconds,
    order_key,
)

#: A test of a document, or of one value in it.
Test = Callable[[Any], bool]

_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def compile_where(  # noqa: C901 - one case for each kind of node
    node: Node, *, text: TextMatcher = all_words, distance: Distance = haversine
) -> Test:
    """A function that tells whether a document meets the condition.

    Raises:
        PatternInvalid: a regular expression cannot be compiled.
        DriverMissing: there is one, and the package for them is not installed.
    """

    def build(node: Node) -> Test:  # noqa: C901, PLR0912 - one case for each kind of node
        match node:
            case And(conditions):
                return _all(tuple(build(one) for one in conditions))
            case Or(conditions):
                return _any(tuple(build(one) for one in conditions))
            case Not(condition):
                return _denied(build(condition))
            case Comparison(path, "eq", value):
                return _equal(path, value)
            case Comparison(path, "ne", value):
                return _denied(_equal(path, value))
            case Comparison(path, order, value):
                return _ordered(path, order, value)
            case Membership(path, values, negated):
                test = _member(path, values)
                return _denied(test) if negated else test
            case Exists(path, present):
                return _exists(path) if present else _denied(_exists(path))
            case Regex(path, pattern):
                return _at(path, _searched(regex_search(pattern)))
            case Matches(path, wanted):
                return _at(path, _of_texts(text(wanted)))
            case Near(path, point, meters):
                return _at(path, _near(distance, point, meters))
            case Within(path, box):
                return _at(path, _inside(box))
            case ElementMatch(path, condition):
                return _elements(path, build(condition))
            case Nested(path, condition):
                return _objects(path, build(condition))
        raise AssertionError(f"no meaning for {type(node).__name__}")

    return build(node)


# --- Joining --------------------------------------------------------------------------------


def _all(tests: tuple[Test, ...]) -> Test:
    match tests:
        case (only,):
            return only
        case (one, two):
            return lambda document: one(document) and two(document)
        case (one, two, three):
            return lambda document: one(document) and two(document) and three(document)

    def every(document: Any) -> bool:
        for test in tests:  # noqa: SIM110 - a generator would cost more than the tests
            if not test(document):
                return False
        return True

    return every


def _any(tests: tuple[Test, ...]) -> Test:
    match tests:
        case (only,):
            return only
        case (one, two):
            return lambda document: one(document) or two(document)
        case (one, two, three):
            return lambda document: one(document) or two(document) or three(document)

    def some(document: Any) -> bool:
        for test in tests:  # noqa: SIM110 - a generator would cost more than the tests
            if test(document):
                return True
        return False

    return some


def _denied(test: Test) -> Test:
    return lambda document: not test(document)


def _always(_document: Any) -> bool:
    return True


def _never(_document: Any) -> bool:
    return False


# --- Walking --------------------------------------------------------------------------------


def _at(path: Path, test: Test, *, missing: bool = False) -> Test:
    """A test of what the path finds; `missing` is its answer where that is nothing."""
    if not path:
        return test
    general = _general(path, test, missing=missing)
    if len(path) == 1:
        [name] = path

        def direct(document: Any) -> bool:
            if type(document) is not dict:
                return general(document)
            value = document.get(name, MISSING)
            if type(value) is list:
                return general(document)
            return missing if value is MISSING else test(value)

        return direct

    def walk(document: Any) -> bool:
        value = document
        for name in path:
            if type(value) is not dict:
                return general(document) if type(value) is list else missing
            value = value.get(name, MISSING)
        if type(value) is list:
            return general(document)
        return missing if value is MISSING else test(value)

    return walk


def _general(path: Path, test: Test, *, missing: bool) -> Test:
    def general(document: Any) -> bool:
        for value in values_at(document, path):
            if value is MISSING:
                if missing:
                    return True
            elif test(value):
                return True
            elif type(value) is list:
                for element in value:
                    if test(element):
                        return True
        return False

    return general


def _exists(path: Path) -> Test:
    if not path:
        return _always

    def exists(document: Any) -> bool:
        value = document
        for name in path:
            if type(value) is not dict:
                if type(value) is not list:
                    return False
                return any(found is not MISSING for found in values_at(document, path))
            value = value.get(name, MISSING)
        return value is not MISSING

    return exists


def _elements(path: Path, test: Test) -> Test:
    def elements(document: Any) -> bool:
        return any(
            test(element)
            for found in values_at(document, path)
            if type(found) is list
            for element in found
        )

    return elements


def _objects(path: Path, test: Test) -> Test:
    def objects(document: Any) -> bool:
        for found in values_at(document, path):
            if type(found) is dict:
                if test(found):
                    return True
            elif type(found) is list and any(test(one) for one in found if type(one) is dict):
                return True
        return False

    return objects


# --- Tests of one value ---------------------------------------------------------------------


def _equal(path: Path, constant: Constant) -> Test:
    wanted, bracket, key = constant.value, constant.key[0], constant.key
    if bracket == NULL:
        return _at(path, lambda value: value is None, missing=True)
    if bracket == TEXT:
        return _equal_text(path, wanted)
    if bracket == NUMBER:
        return _at(path, lambda value: value == wanted and type(value) is not bool)
    kind = type(wanted)
    return _at(path, lambda value: type(value) is kind and order_key(value) == key)


def _equal_text(path: Path, wanted: str) -> Test:
    if len(path) != 1:
        return _at(path, wanted.__eq__ if not path else lambda value: value == wanted)
    [name] = path
    general = _general(path, lambda value: bool(value == wanted), missing=False)

    def same(document: Any) -> bool:
        if type(document) is not dict:
            return general(document)
        value = document.get(name)
        return value == wanted or (type(value) is list and general(document))

    return same


def _ordered(path: Path, order: str, constant: Constant) -> Test:
    compares, wanted, bracket = _ORDERS[order], constant.value, constant.key[0]
    if bracket == NULL:
        return _equal(path, constant) if order in ("gte", "lte") else _never
    if bracket == NUMBER:
        return _ordered_number(path, compares, wanted)
    if bracket == TEXT:
        return _at(path, lambda value: type(value) is str and compares(value, wanted))
    if bracket == INSTANT:
        return _at(path, _ordered_instant(compares, wanted))
    kind, key = type(wanted), constant.key
    return _at(path, lambda value: type(value) is kind and compares(order_key(value), key))


def _ordered_number(path: Path, compares: Callable[[Any, Any], bool], wanted: float) -> Test:
    def test(value: Any) -> bool:
        kind = type(value)
        return (kind is int or kind is float) and compares(value, wanted)

    if len(path) != 1:
        return _at(path, test)
    [name] = path
    general = _general(path, test, missing=False)

    def direct(document: Any) -> bool:
        if type(document) is not dict:
            return general(document)
        value = document.get(name)
        kind = type(value)
        if kind is int or kind is float:
            return compares(value, wanted)
        return kind is list and general(document)

    return direct


def _ordered_instant(compares: Callable[[Any, Any], bool], wanted: datetime) -> Test:
    since = microseconds(wanted)

    def test(value: Any) -> bool:
        if type(value) is not datetime:
            return False
        if value.tzinfo is UTC:
            return compares(value, wanted)
        # Python compares two instants of one zone by their clocks, not as instants.
        return compares(microseconds(value), since)

    return test


def _member(path: Path, constants: tuple[Constant, ...]) -> Test:
    texts = frozenset(one.key[1] for one in constants if one.key[0] == TEXT)
    numbers = frozenset(one.key[1] for one in constants if one.key[0] == NUMBER)
    others = frozenset(one.key for one in constants if one.key[0] not in (TEXT, NUMBER, NULL))
    null = any(one.key[0] == NULL for one in constants)

    def test(value: Any) -> bool:
        kind = type(value)
        if kind is str:
            return value in texts
        if kind is int or kind is float:
            return value in numbers
        if value is None:
            return null
        return bool(others) and order_key(value) in others

    return _at(path, test, missing=null)


def _of_texts(test: Test) -> Test:
    return lambda value: type(value) is str and test(value)


def _searched(search: Callable[[str], object]) -> Test:
    return lambda value: type(value) is str and search(value) is not None


def _inside(box: Box) -> Test:
    def test(value: Any) -> bool:
        place = read_point(value)
        return place is not None and box.holds(place)

    return test


def _near(distance: Distance, point: Point, meters: float | None) -> Test:
    def test(value: Any) -> bool:
        place = read_point(value)
        return place is not None and (meters is None or distance(point, place) <= meters)

    return test
