"""Whether the keys of a database on Redis agree with each other."""

from __future__ import annotations

from typing import Any

from holdfast.engines.redis.connection import Connection

#: How many keys are looked at in one request.
KEYS_AT_ONCE = 500
#: How many faults are told one by one.
FAULTS_MAX = 100
_REVISION_BYTES = 8


async def verify(connection: Connection, head: bytes, order: bytes, records: bytes) -> list[str]:
    """One line for each fault. What is written meanwhile is no fault.

    Each key of the order has a record, each record a key in the order, and no record is newer than
    the head.
    """
    wrong: list[str] = []
    cursor: Any = b"0"
    while True:
        cursor, flat = await connection.ask("HSCAN", records, cursor, "COUNT", KEYS_AT_ONCE)
        found = dict(zip(flat[::2], flat[1::2], strict=True))
        if found:
            scores = await connection.ask("ZMSCORE", order, *found)
            newest = int((await connection.ask("GET", head)).partition(b" ")[0])
            for (key, stored), score in zip(found.items(), scores, strict=True):
                if score is None and await connection.ask("HEXISTS", records, key):
                    wrong.append(f"the record of key {key.hex()} is missing in the order")
                elif len(stored) < _REVISION_BYTES:
                    wrong.append(f"the record of key {key.hex()} has no revision")
                elif int.from_bytes(stored[:_REVISION_BYTES], "big") > newest:
                    wrong.append(f"the record of key {key.hex()} is newer than the head, {newest}")
        if cursor == b"0" or len(wrong) >= FAULTS_MAX:
            break
    start = b"-"
    while len(wrong) < FAULTS_MAX:
        keys = await connection.ask("ZRANGEBYLEX", order, start, b"+", "LIMIT", 0, KEYS_AT_ONCE)
        if not keys:
            break
        stored = await connection.ask("HMGET", records, *keys)
        wrong += [
            f"the key {key.hex()} of the order has no record"
            for key, one in zip(keys, stored, strict=True)
            if one is None and await connection.ask("ZSCORE", order, key) is not None
        ]
        start = b"(" + keys[-1]
    return wrong[:FAULTS_MAX]
