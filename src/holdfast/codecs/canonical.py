"""Canonical JSON (RFC 8785): one text for one JSON value, in every language.

For signatures and for digests that other languages recompute. Holdfast's own digests are taken
of MessagePack, which is several times faster and tells an int from a float; here `1` and `1.0`
are one number and both are written `1`, as the RFC has it. Text is never normalised: a letter
that is composed and the same letter decomposed stay two strings.
"""

from __future__ import annotations

import re
from itertools import repeat
from typing import Any

from holdfast.codecs.plain import CANONICAL_JSON_RULES, is_finite

# ECMAScript writes exponents from 1e21 up and below 1e-6.
_EXPONENT_FROM = 1e21
_EXPONENT_BELOW = 1e-6
# orjson writes exponents below 1e-5 already; otherwise it differs for integral floats only.
_ORJSON_EXPONENT_BELOW = 1e-5

# Code points and UTF-16 units sort alike unless one text holds both of these.
_BEYOND_SIXTEEN_BITS = re.compile(rb"[\xf0-\xf4]")
_ABOVE_SURROGATES = re.compile(rb"[\xee\xef]")


def canonical_json(value: Any) -> bytes:
    """The RFC 8785 text of `value`, in UTF-8.

    Takes None, bool, int within 2**53 - 1 either way, finite float, str, list and dict with str
    keys; raises `SerializationFailed` for everything else, NaN and lone surrogates included.
    """
    import orjson

    rules = CANONICAL_JSON_RULES
    options = (
        orjson.OPT_SORT_KEYS
        | orjson.OPT_STRICT_INTEGER
        | orjson.OPT_PASSTHROUGH_DATACLASS
        | orjson.OPT_PASSTHROUGH_DATETIME
        | orjson.OPT_PASSTHROUGH_SUBCLASS
    )
    try:
        if not rules.accept(value):
            rules.refuse(value)
        data = orjson.dumps(value, option=options)
    except (TypeError, RecursionError) as error:
        rules.refuse(value, error)
    if b"null" in data and not is_finite(value):
        rules.refuse(value)
    reorder = (
        not data.isascii()
        and _BEYOND_SIXTEEN_BITS.search(data) is not None
        and _ABOVE_SURROGATES.search(data) is not None
    )
    canonical = _canonical(value, reorder)
    if canonical is value:
        return data
    if reorder:
        options ^= orjson.OPT_SORT_KEYS
    return orjson.dumps(canonical, option=options)


def _canonical(value: Any, reorder: bool) -> Any:
    """`value` itself when orjson writes it canonically, else a copy that it does."""
    kind = type(value)
    if kind is float:
        return _number(value)
    if kind is list:
        children = list(map(_canonical, value, repeat(reorder)))
        return children if any(map(_is_not, children, value)) else value
    if kind is dict:
        if reorder:
            return {key: _canonical(value[key], reorder) for key in sorted(value, key=_utf16)}
        children = list(map(_canonical, value.values(), repeat(reorder)))
        if any(map(_is_not, children, value.values())):
            return dict(zip(value, children, strict=True))
    return value


def _number(number: float) -> Any:
    """`number` itself when orjson writes it as ECMAScript does, else its text to splice in."""
    import orjson

    size = abs(number)
    if size < _EXPONENT_FROM and number.is_integer():
        # Up to 2**53 this is the exact int; above, the shortest digits that mean the same float,
        # filled up with zeros, which is what ECMAScript prints.
        return orjson.Fragment(_integral(number))
    if _EXPONENT_BELOW <= size < _ORJSON_EXPONENT_BELOW:
        digits, _, exponent = repr(size).partition("e-")
        whole = digits.replace(".", "")
        sign = "-" if number < 0 else ""
        return orjson.Fragment(f"{sign}0.{'0' * (int(exponent) - 1)}{whole}".encode())
    return number


def _integral(number: float) -> bytes:
    text = repr(number)
    mantissa, _, exponent = text.partition("e+")
    if not exponent:
        return b"0" if number == 0 else mantissa.removesuffix(".0").encode()
    whole, _, fraction = mantissa.partition(".")
    return (whole + fraction + "0" * (int(exponent) - len(fraction))).encode()


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be")


def _is_not(one: object, other: object) -> bool:
    return one is not other
