"""What a database can do, and what does it: the engine, the floors above it, or nothing."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from holdfast.contract.capability import Capabilities, Io
from holdfast.contract.errors import Unsupported

#: By the engine itself; by the floors above it, with what is weaker or dearer; not at all.
Source = Literal["native", "emulated", "unsupported"]


class Ability(msgspec.Struct, frozen=True):
    """One thing that a database can do.

    Attributes:
        source: what does it.
        remark: of what is emulated, what is weaker or dearer; of what is unsupported, what helps.
    """

    source: Source
    remark: str = ""


_NATIVE: Final = Ability("native")


def abilities(capabilities: Capabilities) -> dict[str, Ability]:
    """What a database on such an engine can do, by name."""
    engine = capabilities.engine
    remote = capabilities.io is Io.REMOTE
    return {
        "transactions": _transactions(capabilities),
        "snapshots": _NATIVE
        if capabilities.snapshots
        else Ability("unsupported", f"{engine} keeps no moments; read inside a transaction"),
        "decisions_in_the_commit": _NATIVE
        if capabilities.transacts_once
        else Ability(
            "emulated",
            "read, decided, checked and tried again: a round trip more for each try, and Conflict "
            "where very many write one key",
        ),
        "waiting_for_changes": _NATIVE
        if capabilities.waits
        else Ability(
            "unsupported", f"{engine} cannot wake a waiter; read the feed again from time to time"
        ),
        "time_to_live": Ability(
            "emulated",
            "checked by every read; swept within a second by one process that writes"
            if not remote
            else "checked by every read; swept by the process that holds the lease",
        ),
        "history": Ability("emulated", "past versions are rows of the same commit"),
        "feed": Ability("emulated", "changes are rows of the same commit"),
        "compaction": _optional(capabilities, "compacts", "freeing space"),
        "verification": _optional(capabilities, "checks", "a check of its own pages"),
        "loading": _optional(capabilities, "loads", "loading rows with their revisions"),
    }


def refuse_emulation(capabilities: Capabilities) -> None:
    """Raise Unsupported if something that engines may do themselves would be emulated here.

    What no engine does itself (time-to-live, history, the feed) is the same on all of them, and is
    not refused.
    """
    for name in ("transactions", "decisions_in_the_commit"):
        ability = abilities(capabilities)[name]
        if ability.source == "emulated":
            raise Unsupported(
                f"{capabilities.engine} has {name.replace('_', ' ')} only as an emulation "
                f"({ability.remark}), and the database was opened with emulation=False. Choose "
                "another engine, or leave emulation=False out",
                engine=capabilities.engine,
            )


def _transactions(capabilities: Capabilities) -> Ability:
    if capabilities.snapshots:
        return Ability("native", f"optimistic, up to {capabilities.isolation}")
    return Ability(
        "emulated",
        "what was read is remembered and checked by the commit: a transaction that only reads may "
        "end with Conflict too",
    )


def _optional(capabilities: Capabilities, flag: str, what: str) -> Ability:
    if getattr(capabilities, flag):
        return _NATIVE
    return Ability("unsupported", f"{capabilities.engine} has no {what} as it is opened here")
