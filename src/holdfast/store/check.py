"""Whether everything that is stored agrees: the directory, the feed, and every view's rows.

All is read in one moment, page by page; the memory needed does not grow with the database.
"""

from __future__ import annotations

from collections.abc import Awaitable

from holdfast.contract.capability import Io
from holdfast.contract.engine import Engine
from holdfast.contract.errors import IntegrityFailed, StoreError
from holdfast.contract.record import Range
from holdfast.runtime.drive import drive
from holdfast.runtime.working import checked_progress
from holdfast.store import layout
from holdfast.store.feed.feed import Feed
from holdfast.store.instances import SharedDatabase
from holdfast.store.keyspaces import Keyspaces
from holdfast.store.snapshot import SnapshotEngine
from holdfast.store.versions.retention import SETTINGS_KEY, read_settings
from holdfast.store.views import Enough, KeyspaceTally, Progress, Report

#: How often the rows are looked at while others write, on an engine without snapshots.
LOOKS_MAX = 3


async def check_rows(
    shared: SharedDatabase, engine: Engine, progress: Progress | None = None
) -> list[str]:
    """One line for each thing wrong with the rows of the database; none if all is well.

    On an engine without snapshots the rows are read at different moments. What others write
    meanwhile may then look wrong, so only that counts which is wrong again and again.

    Args:
        shared: the database.
        engine: as the handle sees it.
        progress: called now and then with how many values were looked at; from another thread.
    """
    checked_progress(progress)
    told = None if progress is None else _telling(progress)
    try:
        if engine.capabilities.io is Io.REMOTE:
            return await _check(shared, engine, told)
        # Not on a loop: digests of big values take their time.
        runtime = engine.components.host.runtime()
        return await runtime.offload(lambda: drive(_check(shared, engine, told)))
    except _Stopped as stopped:
        raise stopped.error from None


class _Stopped(BaseException):
    """Carries what `progress` raised past those who would take it for a fault of a view."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _telling(progress: Progress) -> Progress:
    def tell(looked_at: int) -> None:
        try:
            progress(looked_at)
        except Exception as error:
            raise _Stopped(error) from error

    return tell


async def _check(shared: SharedDatabase, engine: Engine, progress: Progress | None) -> list[str]:
    if not engine.capabilities.snapshots:
        return await _check_moments(shared, engine, progress)
    with await engine.snapshot() as moment:
        return await _check_moment(shared, SnapshotEngine(engine, moment), progress)


async def _check_moments(
    shared: SharedDatabase, engine: Engine, progress: Progress | None
) -> list[str]:
    """What is wrong whenever one looks, or at one moment."""
    lasting: list[str] | None = None
    for _ in range(LOOKS_MAX):
        head = await engine.head()
        faults = await _check_moment(shared, engine, progress)
        if await engine.head() == head:
            return faults
        lasting = faults if lasting is None else [one for one in lasting if one in faults]
        if not lasting:
            return []
    return lasting or []


async def _check_moment(
    shared: SharedDatabase, moment: Engine, progress: Progress | None
) -> list[str]:
    report = Report()
    try:
        await _check_settings(moment, report)
        tallies = await _check_keyspaces(shared, moment, report, progress)
        await _as_far(report, "expiry", _tell_expiry(moment, tallies))
        await _as_far(report, "the feed", _tell_feed(moment, report, tallies))
    except Enough:
        pass
    return report.faults


async def _check_settings(moment: Engine, report: Report) -> None:
    [record] = await moment.read([SETTINGS_KEY])
    if record is not None:
        try:
            read_settings(record)
        except IntegrityFailed as error:
            report.wrong(str(error))


async def _check_keyspaces(
    shared: SharedDatabase, moment: Engine, report: Report, progress: Progress | None
) -> dict[int, KeyspaceTally]:
    """Have every view check its keyspaces; by number, what is still to be told."""
    numbers: set[int] = set()
    tallies: dict[int, KeyspaceTally] = {}
    try:
        keyspaces = [one async for one in Keyspaces(moment).list(every=True)]
    except IntegrityFailed as error:
        report.wrong(str(error))
        return tallies
    for keyspace in keyspaces:
        if keyspace.number in numbers:
            report.wrong(f"two keyspaces have the number {keyspace.number}")
        numbers.add(keyspace.number)
        keeper = shared.view_of(keyspace.view)
        if keeper is None or keyspace.state != "living":
            continue
        try:
            tally = await keeper.check(moment, keyspace, report, progress)
            if tally is not None:
                tallies[keyspace.number] = tally
        except Enough:
            raise
        except StoreError as error:
            report.wrong(f"{keyspace.view} {keyspace.name!r} cannot be read further: {error}")
        except Exception as error:  # noqa: BLE001 - the other views are to be checked all the same
            # Not the error's own text: it may hold a value.
            report.wrong(
                f"{keyspace.view} {keyspace.name!r} cannot be checked further: its view raised "
                f"{type(error).__name__}"
            )
    return tallies


async def _as_far(report: Report, what: str, reading: Awaitable[None]) -> None:
    """Read as far as it goes: what was found so far is to be told all the same."""
    try:
        await reading
    except Enough:
        raise
    except StoreError as error:
        report.wrong(str(error))
    except Exception as error:  # noqa: BLE001 - as said
        # Not the error's own text: it may hold a value.
        report.wrong(f"{what} cannot be checked further: {type(error).__name__}")


async def _tell_expiry(moment: Engine, tallies: dict[int, KeyspaceTally]) -> None:
    """Tell every keyspace how many rows of expiry it has."""
    counts = dict.fromkeys(tallies, 0)
    rest: Range | None = Range.prefix(layout.EXPIRY)
    while rest is not None:
        page = await moment.scan(rest)
        for key, _ in page.rows:
            owner = layout.keyspace_of(layout.expiry_of(key)[1])
            if owner in counts:
                counts[owner] += 1
        rest = page.resume
    for number, tally in tallies.items():
        tally.expiring(counts[number])


async def _tell_feed(moment: Engine, report: Report, tallies: dict[int, KeyspaceTally]) -> None:
    """Check that the feed can be read and begins where it says; tell every keyspace its changes."""
    feed = Feed(moment)
    oldest = await feed.oldest()
    rows = await feed.oldest_rows(1)
    # Of a commit that was given up in part the rest still stands there; it counts no more.
    if rows and rows[0].revision < oldest - 1:
        report.wrong(f"the feed says that it begins at {oldest}; found a row of {rows[0].revision}")
    async for positions in feed.after(oldest - 1):
        for position in positions:
            tally = tallies.get(position.row.keyspace)
            if tally is not None:
                await tally.change(position)
    for tally in tallies.values():
        tally.told()
