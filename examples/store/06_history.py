"""Provable history: a receipt that anybody can check, and what happens to whoever rewrites it."""

import asyncio
import json
from hashlib import sha256

from where import URL

import holdfast


def holds(receipt: dict[str, object], root: str) -> bool:
    """Plain Python: RFC 6962 in a few lines."""
    number, last = int(str(receipt["number"])), int(str(receipt["size"])) - 1
    found = sha256(b"\0" + bytes.fromhex(str(receipt["row"]))).digest()
    for other in map(bytes.fromhex, list(receipt["path"])):  # type: ignore[call-overload]
        if number & 1 or number == last:
            found = sha256(b"\1" + other + found).digest()
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            found = sha256(b"\1" + found + other).digest()
        number, last = number >> 1, last >> 1
    return last == 0 and found.hex() == root


async def main() -> None:
    async with holdfast.open(URL) as db:
        votes = await db.stores.create("votes")
        for number in range(20):
            await votes.set(b"%02d" % number, b"yes" if number % 3 else b"no")
        head = await db.audit.seal()
        print("sealed", head.size, "changes")
        receipt = json.loads((await db.audit.receipt(head.revision)).to_json())
        print("the receipt holds:", holds(receipt, head.root.hex()))
        print("of another hash:", holds(receipt, "00" * 32))
        await votes.set(b"20", b"yes")
        later = await db.audit.seal()
        (await db.audit.consistency(head.size)).require()
        print("the feed only grew, to", later.size)
        print("all holds:", (await db.audit.verify(head)).holds)


asyncio.run(main())
