"""Level 2: documents asked for, with the seed's spelling of a query."""

import asyncio

from holdfast.database.storages import SQLiteStorageAdapter


async def main() -> None:
    adapter = SQLiteStorageAdapter("documents.db", table_name="documents")
    async with adapter as documents:
        await documents.set_many(
            {
                f"d{number}": {"author": "Alice" if number % 2 else "Bob", "created": number}
                for number in range(20)
            }
        )
        await documents.create_index("author", "author")
        found = documents.query(
            {"field": "author", "operator": "eq", "value": "Alice"}, order_by="-created", limit=3
        )
        async for one in found:
            print(one.key, one.value)
        print(await documents.count(author="Bob"), "of Bob")


asyncio.run(main())
