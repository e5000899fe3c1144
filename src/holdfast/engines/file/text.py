"""Bytes as text that a person can read and change.

What is text stands as it is. Control characters, `%` and bytes that are no UTF-8 stand as `%` and
two hex digits, as in URLs; a longer stretch of them stands as `%{base64}`, so that the text between
such stretches can be read. A `%` that neither follows stands for itself, so that a text typed by
hand means what it seems to. Bytes without any text in them `readable` declines: base64 is shorter.
"""

from __future__ import annotations

import re
from binascii import Error as NoBase64
from binascii import a2b_base64, b2a_base64
from functools import lru_cache

#: ASCII that is not shown as it is.
_ESCAPED = bytes((*range(32), ord("%"), 127))
#: Bytes that are not, where none is part of a character of several.
_HIDDEN = bytes((*_ESCAPED, *range(128, 256)))
#: The same of all characters; those at the end are bytes that are no UTF-8.
_HIDES = "\x00-\x1f%\x7f-\x9f\udc80-\udcff"
_DIGITS = {
    one: "".join(f"%{byte:02X}" for byte in chr(one).encode(errors="surrogateescape"))
    for one in (*range(0x20), ord("%"), *range(0x7F, 0xA0), *range(0xDC80, 0xDD00))
}
#: What is not shown, with what lies in between and is too short to tell anything.
_STRETCH = re.compile(f"[{_HIDES}]+(?:[^{_HIDES}]{{1,3}}[{_HIDES}]+)*")
#: Text between two stretches, and whatever lies before the first and behind the last of such texts.
#: Found much sooner than the stretches are, because most of what there is belongs to it.
_SHOWN = re.compile(f"([^{_HIDES}]{{4,}})")
#: What two hex digits mean.
_BYTES = {
    digits.encode(): bytes((byte,))
    for byte in range(256)
    for digits in {
        one + two
        for one in (f"{byte >> 4:X}", f"{byte >> 4:x}")
        for two in (f"{byte & 15:X}", f"{byte & 15:x}")
    }
}
#: How much longer than base64 the digits of a stretch may be, because they are plainer; and how
#: long a stretch is at most for which that is looked at.
_PLAINER_BYTES = 6
_SHORT_BYTES = 40
#: How long those are that are remembered, and how many of them.
_OFTEN, _OFTEN_MAX = 8, 4_096
#: Larger ones are shown only where little has to be hidden: one in so many bytes.
_LARGE_BYTES = 64 * 1024
_HIDDEN_SHARE = 6


def readable(raw: bytes) -> str | None:
    """The bytes as text; None where there is no text in them."""
    if raw.isascii():
        text = raw.decode()
        if len(raw.translate(None, _ESCAPED)) == len(raw):
            return text
    else:
        text = raw.decode(errors="surrogateescape")
    if len(raw) > _LARGE_BYTES and _hidden(raw) * _HIDDEN_SHARE > len(raw):
        return None
    parts = _SHOWN.split(text)  # Every other one is shown as it is.
    if len(parts) > 1:
        parts[2:-1:2] = [
            _hidden_often(stretch) if len(stretch) <= _OFTEN else _hidden_as(stretch)
            for stretch in parts[2:-1:2]
        ]
        for edge in (0, -1):
            if parts[edge]:
                parts[edge] = _STRETCH.sub(_hide, parts[edge])
        return "".join(parts)
    shown = _STRETCH.sub(_hide, text)
    if shown.startswith("%{") and shown.find("}") == len(shown) - 1:
        return None
    return shown


def meant(text: str) -> bytes:
    """The bytes that a text of `readable` stands for."""
    raw = text.encode()
    return _reveal(raw) if b"%" in raw else raw


def _hidden(raw: bytes) -> int:
    """How many bytes are not shown as they are."""
    escaped = len(raw) - len(raw.translate(None, _ESCAPED))
    return escaped + len(raw) - len(raw.decode(errors="ignore").encode())


def _hide(found: re.Match[str]) -> str:
    stretch = found[0]
    return _hidden_often(stretch) if len(stretch) <= _OFTEN else _hidden_as(stretch)


def _hidden_as(stretch: str) -> str:
    raw = stretch.encode(errors="surrogateescape")
    if len(raw) <= _SHORT_BYTES:
        if len(raw) == len(stretch):
            # Each byte is one character: how long its digits are is told without making them.
            hidden = len(raw) - len(raw.translate(None, _HIDDEN))
            length = len(raw) + 2 * hidden
        else:
            length = len(stretch.translate(_DIGITS))
        if length <= (len(raw) + 2) // 3 * 4 + len("%{}") + _PLAINER_BYTES:
            return stretch.translate(_DIGITS)
    return f"%{{{b2a_base64(raw, newline=False).decode()}}}"


#: Values of one shape have the same short stretches: the lengths and types of their members.
_hidden_often = lru_cache(maxsize=_OFTEN_MAX)(_hidden_as)


def _reveal(raw: bytes) -> bytes:
    first, *parts = raw.split(b"%")
    revealed = [first]
    for part in parts:
        byte = _BYTES.get(part[:2])
        if byte is not None:
            revealed += (byte, part[2:])
            continue
        end = part.find(b"}") if part[:1] == b"{" else -1
        try:
            if end < 2:  # noqa: PLR2004 - nothing between the braces
                raise NoBase64
            revealed += (a2b_base64(part[1:end], strict_mode=True), part[end + 1 :])
        except NoBase64:
            revealed += (b"%", part)  # It stands for itself.
    return b"".join(revealed)
