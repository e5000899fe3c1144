"""What is kept of the past of the values in a namespace."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

ValuesKept = Literal["feed", "forever", "none"]
GoneKept = Literal["expired", "feed", "forever"]


class Policy(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """What is kept of the past of the values in a namespace.

    Attributes:
        values: of past versions: as long as the `feed` reaches back, `forever`, or `none`.
        versions: how many past versions of a key; None: all of them, 0: none at all.
        gone: which keys without a value lose their past once the feed no longer tells of their
            end: those that `expired`, or all (`feed`), or none (`forever`).
    """

    values: ValuesKept = "feed"
    versions: int | None = None
    gone: GoneKept = "expired"


DEFAULT_POLICY: Final = Policy()


class NamespacePolicy(msgspec.Struct, frozen=True, array_like=True):
    """The policy of a namespace, as stored.

    Attributes:
        keyspace: number of the keyspace.
        prefix: what the packed keys of the namespace begin with; empty: all keys.
        policy: what is kept.
    """

    keyspace: int
    prefix: bytes
    policy: Policy
