"""Bytes as text that a person can read and change.

What is text stands as it is. Control characters, `%` and bytes that are no UTF-8 stand as `%` and
two hex digits, as in URLs. A `%` that no two hex digits follow stands for itself, so that a text
typed by hand means what it seems to. Where all that takes more than base64, `readable` declines.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

#: ASCII that is not shown as it is.
_ESCAPED = bytes((*range(32), ord("%"), 127))
_SPECIAL = re.compile("[\x00-\x1f%\x7f-\x9f\udc80-\udcff]")
#: What base64 adds, and how much more a short text may take for being readable.
_BASE64_GROWTH = 3
_SLACK_BYTES = 48


def readable(raw: bytes) -> str | None:
    """The bytes as text; None where base64 takes less."""
    escaped = len(raw) - len(raw.translate(None, _ESCAPED))
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        escaped += len(raw) - len(raw.decode(errors="ignore").encode())
        text = None
    if 2 * escaped > len(raw) // _BASE64_GROWTH + _SLACK_BYTES:
        return None
    if text is None:
        text = raw.decode(errors="surrogateescape")
    elif not escaped and (text.isascii() or _SPECIAL.search(text) is None):
        return text
    return _SPECIAL.sub(_escape, text)


def meant(text: str) -> bytes:
    """The bytes that a text of `readable` stands for."""
    raw = text.encode()
    return unquote_to_bytes(raw) if b"%" in raw else raw


def _escape(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode(errors="surrogateescape"))
