"""The formats of a database's tables and functions, and what brings an older one to the newest.

    1   the function of a commit knows no operation `w`, and passes over a rewrite in silence
    2   it does

Format 1 is read and upgraded, and opened by nobody: keys could not be rotated there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg
from psycopg.rows import TupleRow

from holdfast.contract.errors import (
    ConnectionLost,
    FormatTooNew,
    IntegrityFailed,
    ReadOnly,
    StoreNotFound,
    Unsupported,
)
from holdfast.contract.formats import Formats, steps_to
from holdfast.engines.postgres.config import PostgresConfig
from holdfast.engines.postgres.connections import Connection, connect
from holdfast.engines.postgres.failures import refusal
from holdfast.engines.postgres.statements import Statements

#: How a database lies in its tables.
FORMAT = 2


def check_format(found: int, url: str) -> None:
    """Refuse a database that this version does not read as it stands."""
    if found > FORMAT:
        raise FormatTooNew(
            f"the database at {url} is of format {found}, and this version reads {FORMAT}; update "
            "Holdfast",
            found=found,
            supported=FORMAT,
        )
    if found < FORMAT:
        raise Unsupported(
            f"the database at {url} is of format {found}, and this version reads {FORMAT}. Bring "
            f"it there with `holdfast upgrade {url}`; the processes that have it open go on "
            "meanwhile, and have to be updated before they connect anew",
            engine="postgres",
            found=found,
            supported=FORMAT,
        )


async def upgrade(
    config: PostgresConfig, *, dry_run: bool, progress: Callable[[int], None] | None
) -> Formats:
    """Bring a database to the newest format, in one transaction; see `Engine.upgrade`."""
    statements = Statements(config.schema)
    try:
        async with asyncio.timeout(config.connect_timeout):
            connection = await connect(config)
    except TimeoutError as error:
        raise _silent(config, "connect_timeout", config.connect_timeout) from error
    try:
        async with asyncio.timeout(config.answer_timeout):
            done = await _in_one_transaction(connection, statements, config, dry_run=dry_run)
    except TimeoutError as error:
        raise _silent(config, "answer_timeout", config.answer_timeout) from error
    except psycopg.Error as error:
        # Not that the outcome is unknown: what was done is not done again.
        raise refusal(error, writing=False) from error
    finally:
        await connection.close()
    if progress is not None and not dry_run:
        for format in done.steps:
            progress(format)
    return done


async def _in_one_transaction(
    connection: Connection, statements: Statements, config: PostgresConfig, *, dry_run: bool
) -> Formats:
    async with connection.transaction():
        if not dry_run:
            # One at a time: the second finds everything done. Before the turn, as who makes has it.
            await connection.execute(statements.take_makers_turn, [config.schema])
        [there] = await _rows(connection, statements.exists, [statements.head_name])
        if not there[0]:
            raise StoreNotFound(f"there is no database at {config.url}; correct the address")
        [facts] = await _rows(connection, statements.facts)
        found = int(facts[2])
        if found < 1:
            raise IntegrityFailed(
                f"the database at {config.url} says that it is of format {found}, which never "
                "was; restore a backup"
            )
        if found > FORMAT:
            check_format(found, config.url)
        steps = steps_to(found, FORMAT)
        if steps and not dry_run:
            if config.read_only:
                raise ReadOnly(
                    f"{config.url} is of format {found}, and was named with read_only; upgrade it "
                    "without"
                )
            # The only step so far: to 2. Calls on their way end with the function they began with.
            await connection.execute(statements.renew_functions, prepare=False)
            await connection.execute(statements.take_turn)
            await connection.execute(statements.note_format, [FORMAT])
        return Formats(found, FORMAT, steps)


async def _rows(
    connection: Connection, statement: str, arguments: list[object] | None = None
) -> list[TupleRow]:
    cursor = await connection.execute(statement, arguments)
    return await cursor.fetchall()


def _silent(config: PostgresConfig, setting: str, seconds: float) -> ConnectionLost:
    return ConnectionLost(
        f"the server of {config.url} did not answer within {seconds} s ({setting}), or a commit "
        "took that long; nothing was changed, or everything was. Upgrade it again"
    )
