"""Bytes as text that a person can read and change.

What is text stands as it is. Control characters, `%` and bytes that are no UTF-8 stand as `%` and
two hex digits, as in URLs; a longer stretch of them stands as `%{base64}`, so that the text between
such stretches can be read. A `%` that neither follows stands for itself, so that a text typed by
hand means what it seems to. Bytes without any text in them `readable` declines: base64 is shorter.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as NoBase64

#: ASCII that is not shown as it is.
_ESCAPED = bytes((*range(32), ord("%"), 127))
_SPECIAL = re.compile("[\x00-\x1f%\x7f-\x9f\udc80-\udcff]")
#: Four characters or more that can be shown as they are: ASCII, or whole sequences of UTF-8.
_SHOWN = re.compile(
    rb"(?:[\x20-\x24\x26-\x7e]|\xc2[\xa0-\xbf]|[\xc3-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]"
    rb"|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]"
    rb"|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}){4,}"
)
_HIDDEN = re.compile(rb"%(?:([0-9A-Fa-f]{2})|\{([A-Za-z0-9+/]+={0,2})\})")
#: Texts in which more than this share of the bytes, and more than so many, need two digits are
#: rather looked through for what can be shown.
_ESCAPES_SHARE = 6
_ESCAPES = 24
#: Larger ones are not looked through.
_LOOKED_BYTES_MAX = 64 * 1024
#: From here on `%{base64}` is shorter.
_STRETCH_BYTES = 4


def readable(raw: bytes) -> str | None:
    """The bytes as text; None where there is no text in them."""
    escaped = len(raw) - len(raw.translate(None, _ESCAPED))
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        escaped += len(raw) - len(raw.decode(errors="ignore").encode())
        text = None
    if escaped > len(raw) // _ESCAPES_SHARE + _ESCAPES:
        return _mixed(raw) if len(raw) <= _LOOKED_BYTES_MAX else None
    if text is None:
        text = raw.decode(errors="surrogateescape")
    elif not escaped and (text.isascii() or _SPECIAL.search(text) is None):
        return text
    return _SPECIAL.sub(_escape, text)


def meant(text: str) -> bytes:
    """The bytes that a text of `readable` stands for."""
    raw = text.encode()
    return _HIDDEN.sub(_reveal, raw) if b"%" in raw else raw


def _mixed(raw: bytes) -> str | None:
    """What can be shown, and stretches of base64 between it."""
    parts: list[str] = []
    end = 0
    for shown in _SHOWN.finditer(raw):
        parts += (_stretch(raw[end : shown.start()]), shown[0].decode())
        end = shown.end()
    if not parts:
        return None
    parts.append(_stretch(raw[end:]))
    return "".join(parts)


def _stretch(raw: bytes) -> str:
    if len(raw) < _STRETCH_BYTES:
        return "".join(f"%{byte:02X}" for byte in raw)
    return f"%{{{b64encode(raw).decode()}}}"


def _escape(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode(errors="surrogateescape"))


def _reveal(found: re.Match[bytes]) -> bytes:
    digits, stretch = found.groups()
    if digits is not None:
        return bytes.fromhex(digits.decode())
    try:
        return b64decode(stretch, validate=True)
    except NoBase64:
        return found[0]
