"""The statements of one database, its schema's name filled in."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_READ = """
SELECT head.revision, head.lineage, record.key, record.value, record.revision
FROM {schema}.head LEFT JOIN {schema}.record ON record.key = ANY(%b::bytea[])"""
#: The same of one key, for which the server builds no array: a sixth less of a round trip.
_READ_ONE = _READ.replace("ANY(%b::bytea[])", "%b::bytea")
_SCAN = """
SELECT head.revision, head.lineage, walked.key, value, walked.revision, rows
FROM {schema}.head LEFT JOIN (
    SELECT key, value, revision, count(*) OVER () AS rows, row_number() OVER walk AS number,
        sum(octet_length(key) + octet_length(value)) OVER walk AS bytes
    FROM (SELECT * FROM {schema}.record {where} {order} LIMIT %b::int) AS page
    WINDOW walk AS ({order} ROWS UNBOUNDED PRECEDING)
) AS walked ON number = 1 OR bytes <= %b::bigint ORDER BY number"""
_COMMIT = """
SELECT * FROM {schema}.commit_batch(
    %b::text, %b::bigint, %b::bigint, %b::bytea, %b::integer, %b::bool,
    %b::text, %b::bytea[], %b::bytea[], %b::bytea[], %b::bigint[], %b::bigint[]
)"""
_TELL = "SELECT pg_notify(%b::text, revision::text) FROM {schema}.head"
_LOAD = """
INSERT INTO {schema}.record
SELECT * FROM unnest(%b::bytea[], %b::bytea[], %b::bigint[])
ON CONFLICT (key) DO UPDATE SET value = excluded.value, revision = excluded.revision"""
_UNLOAD = "DELETE FROM {schema}.record WHERE key = ANY(%b::bytea[])"
_CHECK = """
SELECT record.key, head.revision FROM {schema}.head JOIN {schema}.record
ON record.revision > head.revision OR length(record.key) = 0 LIMIT %b::int"""
#: Which history of which server this is. A standby that was promoted has another timeline, a copy
#: another system, database or table.
_FACTS = """
SELECT revision, lineage, format, era, unflushed,
    concat_ws(
        '/', system_identifier, CASE WHEN pg_is_in_recovery() THEN NULL
        ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END,
        (SELECT oid FROM pg_database WHERE datname = current_database()),
        '{schema}.head'::regclass::oid
    ),
    pg_postmaster_start_time()::text, current_setting('synchronous_commit') = 'off',
    current_setting('fsync') = 'on'
FROM {schema}.head, pg_control_system()"""

#: The class of the locks that keep makers of one schema apart: "hold".
_MAKERS = 1_752_132_707
_FUNCTION = re.compile(r"^CREATE FUNCTION .*?^\$holdfast\$;$", re.MULTILINE | re.DOTALL)


class Statements:
    """What a transport says to its database.

    Args:
        schema: the name of the database's schema.
    """

    def __init__(self, schema: str) -> None:
        self._schema = '"' + schema.replace('"', '""') + '"'
        self.read = self._filled(_READ)
        self.read_one = self._filled(_READ_ONE)
        self.commit = self._filled(_COMMIT)
        self.tell = self._filled(_TELL)
        self.load = self._filled(_LOAD)
        self.unload = self._filled(_UNLOAD)
        self.check = self._filled(_CHECK)
        self.facts = self._filled(_FACTS)
        self.take_turn = self._plain("SELECT {schema}.take_turn()")
        self.begin = self._filled("INSERT INTO {schema}.head VALUES (0, %s, %s, '', NULL)")
        self.enter = self._filled(
            "UPDATE {schema}.head SET revision = %s, lineage = %s, era = %s, unflushed = %s"
        )
        self.head = self._filled("SELECT revision, lineage FROM {schema}.head FOR UPDATE")
        self.advance = self._filled("UPDATE {schema}.head SET revision = %s")
        self.exists = "SELECT to_regclass(%s) IS NOT NULL"
        self.take_makers_turn = f"SELECT pg_advisory_xact_lock({_MAKERS}, hashtext(%s))"
        self.note_format = self._filled("UPDATE {schema}.head SET format = %s")
        self.make_schema = self._plain("CREATE SCHEMA {schema}")
        #: Where the table of the head is named as text.
        self.head_name = f"{self._schema}.head"
        self._scans: dict[tuple[bool, bool, bool], str] = {}

    @property
    def make(self) -> str:
        """Everything that makes a database's tables; several statements."""
        return self._plain(_source())

    @property
    def renew_functions(self) -> str:
        """Everything that puts today's functions in the place of older ones; several statements."""
        functions = _FUNCTION.findall(_source())
        renewed = [one.replace("CREATE", "CREATE OR REPLACE", 1) for one in functions]
        return self._plain("\n".join(renewed))

    def scan(self, *, start_open: bool, end_open: bool, reverse: bool) -> str:
        """A page of rows within a number of bytes; each with the head, and how many there were."""
        shape = (start_open, end_open, reverse)
        if shape not in self._scans:
            bounds = [] if start_open else ["key >= %b::bytea"]
            bounds += [] if end_open else ["key < %b::bytea"]
            where = "WHERE " + " AND ".join(bounds) if bounds else ""
            order = "ORDER BY key DESC" if reverse else "ORDER BY key"
            text = _SCAN.replace("{where}", where).replace("{order}", order)
            self._scans[shape] = self._filled(text)
        return self._scans[shape]

    def _filled(self, text: str) -> str:
        """A statement with arguments: a percent sign in the name is none of their places."""
        return self._plain(text, self._schema.replace("%", "%%"))

    def _plain(self, text: str, name: str | None = None) -> str:
        """A statement without arguments."""
        name = name or self._schema
        quoted = name.replace("'", "''")
        return text.replace("'{schema}.", f"'{quoted}.").replace("{schema}", name)


@cache
def _source() -> str:
    return files(__package__).joinpath("schema.sql").read_text()
