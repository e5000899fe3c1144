"""Retention: how much of the past is kept.

Who, when and what of past versions is small and kept for good, unless a namespace says otherwise.
Values are kept as long as the feed reaches back: seven days, or a million changes. Of a key that
ran out nothing is kept once the feed no longer tells of it.
`store/versions/trimming.py` carries it out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from holdfast.codecs.keys import pack_text
from holdfast.codecs.text import StoreKey, format_namespace, parse_namespace
from holdfast.contract.batch import Draft
from holdfast.contract.engine import Engine
from holdfast.contract.errors import IntegrityFailed, InvalidInput, KeyNotFound, StoreNotFound
from holdfast.contract.record import Record
from holdfast.contract.runtime import Clock
from holdfast.runtime.working import checked_progress
from holdfast.store import layout
from holdfast.store.feed.feed import Feed
from holdfast.store.keyspaces import Keyspaces
from holdfast.store.said import context_of
from holdfast.store.text_keys import unpack_key
from holdfast.store.versions.policy import (
    DEFAULT_POLICY,
    GoneKept,
    NamespacePolicy,
    Policy,
    ValuesKept,
)
from holdfast.store.versions.purging import purge_key
from holdfast.store.versions.trimming import Limits, Trimmed, apply, trim

FEED_AGE_S: Final = 7 * 86400.0
FEED_CHANGES_MAX: Final = 1_000_000
#: The furthest the feed can reach back, in seconds and in changes.
FEED_AGE_MAX_S: Final = 1000 * 365 * 86400.0
FEED_CHANGES_LIMIT: Final = 1 << 53
#: For how many keys it is remembered which policy is theirs.
POLICIES_FOUND_MAX: Final = 10_000
#: How many past versions a policy can name.
VERSIONS_MAX: Final = 1 << 32


class Settings(msgspec.Struct, frozen=True, array_like=True):
    """Retention of a database, as stored.

    Attributes:
        feed_age_s: feed rows older than this go.
        feed_changes_max: more feed rows than this go, the oldest first.
        namespaces: policies; the longest prefix wins.
        unapplied: those among them that rows written before them have not been brought under.
    """

    feed_age_s: float = FEED_AGE_S
    feed_changes_max: int = FEED_CHANGES_MAX
    namespaces: tuple[NamespacePolicy, ...] = ()
    unapplied: tuple[NamespacePolicy, ...] = ()


class Kept(msgspec.Struct, frozen=True):
    """What is kept of the past of one namespace, as `keep` said it.

    Attributes:
        view, keyspace: where.
        namespace: as in keys; empty: all of the keyspace.
        policy: what is kept.
    """

    view: str
    keyspace: str
    namespace: str
    policy: Policy


SETTINGS_KEY: Final = layout.SYSTEM + b"retention"
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Settings).decode


class Retention:
    """How much of the past of a database is kept: its settings, and giving up the rest.

    Args:
        engine, feed, keyspaces: of the database.
        clock: tells how old a change is.

    Attributes:
        policies: by keyspace, the longest prefix first. The same mapping for good, so that who
            writes sees at once that there are none.
    """

    def __init__(self, engine: Engine, feed: Feed, keyspaces: Keyspaces, clock: Clock) -> None:
        self._engine = engine
        self._feed = feed
        self._keyspaces = keyspaces
        self._clock = clock
        self._settings = Settings()
        self._found: dict[bytes, Policy] = {}
        self.policies: dict[int, list[tuple[bytes, Policy]]] = {}
        #: Why the settings cannot be read. Until they are set anew, nothing is given up.
        self._unreadable: IntegrityFailed | None = None

    # --- Settings ---------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """The settings as last read."""
        return self._settings

    @property
    def unreadable(self) -> IntegrityFailed | None:
        """Why the settings cannot be read, if they cannot: then everything is kept."""
        return self._unreadable

    async def refresh(self) -> Settings:
        """Read the settings, which another process may have changed."""
        [record] = await self._engine.read([SETTINGS_KEY])
        if record is not None:
            try:
                self._use(read_settings(record))
            except IntegrityFailed as error:
                # A damaged setting must not lock the data away.
                self._unreadable = error
        return self._settings

    async def keep(
        self,
        namespace: str,
        *,
        values: ValuesKept = "feed",
        versions: int | None = None,
        gone: GoneKept = "expired",
        view: str = "entries",
        keyspace: str = "entries",
    ) -> None:
        """Say what is kept of the past of the values in a namespace, and in those below it.

        Applies to versions displaced from now on at once, to older ones at the next compaction.

        Args:
            namespace: as in keys, such as `users/active`; empty: all of the keyspace.
            values: of past versions: as long as the `feed` reaches back, `forever`, or `none`.
            versions: how many past versions of each key; None: all, 0: none.
            gone: which keys without a value lose their past once the feed no longer tells of
                their end: those that `expired`, all (`feed`), or none (`forever`).
            view, keyspace: where; left out: the entries.

        Raises:
            InvalidInput, InvalidKey: the arguments cannot be; nothing was written.
            StoreNotFound: there is no such keyspace.
        """
        if values not in ("feed", "forever", "none"):
            raise InvalidInput(f"values is feed, forever or none; found {values!r}")
        if gone not in ("expired", "feed", "forever"):
            raise InvalidInput(f"gone is expired, feed or forever; found {gone!r}")
        if versions is not None and not _is_count(versions, VERSIONS_MAX):
            raise InvalidInput(
                f"versions is an int from 0 to {VERSIONS_MAX}, or None for all; found {versions!r}"
            )
        segments = parse_namespace(namespace)
        found = await self._keyspaces.get(view, keyspace)
        if found is None:
            raise _no_keyspace(view, keyspace)
        place = (found.number, b"".join(map(pack_text, segments)))
        policy = NamespacePolicy(*place, Policy(values, versions, gone))

        def change(settings: Settings) -> Settings:
            others = tuple(
                one for one in settings.namespaces if (one.keyspace, one.prefix) != place
            )
            waiting = tuple(
                one for one in settings.unapplied if (one.keyspace, one.prefix) != place
            )
            if policy.policy != DEFAULT_POLICY or not segments:
                others += (policy,)
            if policy.policy.values == "none" or policy.policy.versions is not None:
                waiting += (policy,)
            return msgspec.structs.replace(settings, namespaces=others, unapplied=waiting)

        await self._change(change)

    async def keep_feed(
        self, *, age_s: float = FEED_AGE_S, changes_max: int = FEED_CHANGES_MAX
    ) -> None:
        """Say how far the feed, and with it the values of past versions, reach back.

        Args:
            age_s: seconds.
            changes_max: how many changes.

        Raises:
            InvalidInput: the arguments cannot be; nothing was written.
        """
        number = isinstance(age_s, int | float) and not isinstance(age_s, bool)
        if not number or not 0 < age_s <= FEED_AGE_MAX_S:  # So it is finite, too.
            raise InvalidInput(
                f"age_s is a number of seconds above 0 and at most {FEED_AGE_MAX_S:.0f}; "
                f"found {age_s!r}"
            )
        if not _is_count(changes_max, FEED_CHANGES_LIMIT):
            raise InvalidInput(
                f"changes_max is an int from 0 to {FEED_CHANGES_LIMIT}; found {changes_max!r}"
            )
        await self._change(
            lambda settings: msgspec.structs.replace(
                settings, feed_age_s=float(age_s), feed_changes_max=changes_max
            )
        )

    async def kept(self) -> list[Kept]:
        """What `keep` has said of each namespace, by view, keyspace and namespace."""
        found = []
        for one in (await self.refresh()).namespaces:
            keyspace = await self._keyspaces.by_number(one.keyspace)
            if keyspace is not None:
                segments = unpack_key(one.prefix).segments if one.prefix else ()
                namespace = format_namespace(segments)
                found.append(Kept(keyspace.view, keyspace.name, namespace, one.policy))
        return sorted(found, key=lambda one: (one.view, one.keyspace, one.namespace))

    def policy(self, keyspace: int, key: bytes) -> Policy:
        """What is kept of the past of the value under a packed key."""
        policies = self.policies.get(keyspace)
        if policies is not None:
            for prefix, policy in policies:
                if key.startswith(prefix) and len(key) > len(prefix):
                    return policy
        return DEFAULT_POLICY

    def policy_of(self, data_key: bytes) -> Policy:
        """The same, from the key of a data row; on the path of every overwrite."""
        if not self.policies:
            return DEFAULT_POLICY
        # Taken once: what is found under policies that change meanwhile goes with the old memory.
        memory = self._found
        found = memory.get(data_key)
        if found is None:
            found = self.policy(layout.keyspace_of(data_key), data_key[layout.REGION_BYTES :])
            if len(memory) >= POLICIES_FOUND_MAX:
                memory.clear()
            memory[data_key] = found
        return found

    # --- Carrying out -----------------------------------------------------------------------

    async def trim(self, progress: Callable[[int, int], None] | None = None) -> Trimmed:
        """Give up what the settings no longer keep.

        Args:
            progress: called with (feed rows given up, feed rows to give up at most).

        Raises:
            IntegrityFailed: the settings cannot be read; set them anew.
        """
        checked_progress(progress)
        await self.refresh()
        if self._unreadable is not None:
            raise self._unreadable
        total = Trimmed()
        for policy in self._settings.unapplied:
            total = total.plus(await apply(self._engine, self._keyspaces, policy))
            await self._applied(policy)
        settings = self._settings
        limits = Limits(
            self._clock.now_ms() - round(settings.feed_age_s * 1000), settings.feed_changes_max
        )
        given_up = await trim(
            self._engine, self._feed, self._keyspaces, limits, self.policy, progress
        )
        return total.plus(given_up)

    async def purge(
        self,
        key: StoreKey | str,
        *,
        view: str = "entries",
        keyspace: str = "entries",
        modified_by: str | int | None = None,
        comment: str | None = None,
    ) -> Trimmed:
        """Remove a value with its whole past at once, for good.

        The feed tells it as a delete, and keeps the key, the author and the comment as long as it
        reaches back. Nothing else of the key is left.

        Args:
            key: which.
            view, keyspace: where; left out: the entries.
            modified_by, comment: who and why.

        Raises:
            KeyNotFound: the key has neither a value nor a past.
            StoreNotFound: there is no such keyspace.
        """
        text = str(StoreKey.of(key))
        found = await self._keyspaces.get(view, keyspace)
        if found is None:
            raise _no_keyspace(view, keyspace)
        context = context_of(modified_by, comment)
        done = await purge_key(self._engine, found, self, self._clock, text, context)
        if done is None:
            raise KeyNotFound(
                f"{text!r} was to be purged; it has neither a value nor a past", key=text
            )
        return done

    # --- Inside -----------------------------------------------------------------------------

    async def _applied(self, policy: NamespacePolicy) -> None:
        """The rows written before a policy have been brought under it."""
        await self._change(
            lambda settings: msgspec.structs.replace(
                settings, unapplied=tuple(one for one in settings.unapplied if one != policy)
            )
        )

    async def _change(self, change: Callable[[Settings], Settings]) -> None:
        changed: Settings | None = None

        def decide(records: list[Record | None], _revision: int) -> Draft:
            nonlocal changed
            settings = Settings()
            if records[0] is not None and self._unreadable is None:
                settings = read_settings(records[0])
            changed = change(settings)
            draft = Draft()
            draft.rows[SETTINGS_KEY] = _encode(changed)
            return draft

        await self._engine.transact([SETTINGS_KEY], decide)
        assert changed is not None
        self._use(changed)

    def _use(self, settings: Settings) -> None:
        self._unreadable = None
        self._settings = settings
        policies: dict[int, list[tuple[bytes, Policy]]] = {}
        for one in settings.namespaces:
            policies.setdefault(one.keyspace, []).append((one.prefix, one.policy))
        for listed in policies.values():
            listed.sort(key=lambda one: len(one[0]), reverse=True)
        # Writers look at it meanwhile, and must not find it empty.
        for keyspace in self.policies.keys() - policies.keys():
            del self.policies[keyspace]
        self.policies.update(policies)
        self._found = {}


def _no_keyspace(view: str, name: str) -> StoreNotFound:
    return StoreNotFound(f"{view} {name!r} was wanted; there is none. Create it first", name=name)


def read_settings(record: Record) -> Settings:
    """The settings in their row. Raises IntegrityFailed."""
    try:
        return _decode(record.value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityFailed(
            "the retention settings cannot be read, so everything is kept; set them anew with "
            "db.retention.keep_feed and keep"
        ) from error


def _is_count(number: Any, most: int) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= most


async def was_set(engine: Engine) -> bool:
    """Whether retention was set or a key purged, so that versions may be missing rightly."""
    settings, purged = await engine.read([SETTINGS_KEY, layout.SYSTEM_PURGED])
    return settings is not None or purged is not None
