"""Case M: thirty seats; QUOTA_EXCEEDED is the one name of a course that is full."""

import asyncio

from where import keeper, service

from holdfast.contract.errors import QuotaExceeded
from holdfast.state import build_store


async def main() -> None:
    async with keeper() as adapter, build_store(adapter, service("school")) as store:
        await store.counter.initialise("course:math:seats", 30)
        answers = await asyncio.gather(
            *(store.counter.decrement("course:math:seats", minimum=0) for _ in range(50)),
            return_exceptions=True,
        )
        full = [one for one in answers if isinstance(one, QuotaExceeded)]
        print("enrolled", 50 - len(full), "refused with", full[0].code)
        assert len(full) == 20


asyncio.run(main())
