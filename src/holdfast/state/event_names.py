"""Names of events and channels: segments between colons, `user:created`."""

from __future__ import annotations

import re
from typing import Any

from holdfast.contract.errors import InvalidName
from holdfast.state.limits import CHANNEL_CHARACTERS_MAX, NAME_CHARACTERS_MAX

#: First segments that are nobody's own.
RESERVED = frozenset(("igniter", "holdfast"))

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)
_WILDCARD = "*"
_SPECIAL = frozenset("*?[]\\")


class EventNameRules:
    """What may be the name of an event, a channel, a pattern of channels."""

    @staticmethod
    def event(name: Any) -> str:
        """The name of an event or group of events.

        Raises:
            InvalidName: it is none.
        """
        if (
            not isinstance(name, str)
            or not _NAME.fullmatch(name)
            or len(name) > NAME_CHARACTERS_MAX
            or name in RESERVED
        ):
            raise InvalidName(
                "the name of an event is letters, digits, '_' and '-', does not begin with a "
                f"digit and is not {' or '.join(sorted(RESERVED))}; found {_shown(name)}"
            )
        return name

    @staticmethod
    def channel(channel: Any) -> str:
        """A channel to publish on: no wildcard.

        Raises:
            InvalidName: it is none.
        """
        return _check(channel, wildcards=False)

    @staticmethod
    def pattern(pattern: Any) -> str:
        """What to subscribe to: a channel, with `*` for any run of characters.

        Raises:
            InvalidName: it is none.
        """
        return _check(pattern, wildcards=True)


def _check(channel: Any, *, wildcards: bool) -> str:
    special = _SPECIAL - {_WILDCARD} if wildcards else _SPECIAL
    if (
        isinstance(channel, str)
        and len(channel) <= CHANNEL_CHARACTERS_MAX
        and special.isdisjoint(channel)
        and channel.isprintable()
        and " " not in channel
    ):
        segments = channel.split(":")
        if all(segments) and segments[0] not in RESERVED:
            return channel
    wanted = "with * for anything" if wildcards else "without wildcards"
    raise InvalidName(
        f"a channel reads like user:created, {wanted}, without spaces and empty segments, and "
        f"does not begin with {' or '.join(sorted(RESERVED))}; found {_shown(channel)}"
    )


def _shown(name: Any) -> str:
    return repr(name[:60]) if isinstance(name, str) else f"a {type(name).__name__}"
