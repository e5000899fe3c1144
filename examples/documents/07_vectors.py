"""What is nearest to a vector, with a condition, and together with words."""

import asyncio

import holdfast


async def main() -> None:
    async with holdfast.open("memory://") as db:
        notes = db.collection("notes")
        await notes.create_index("meaning", "at", kind="vector", dimensions=3)
        await notes.create_index("words", "text", kind="text", language="english")
        await notes.set_many(
            {
                "fox": {"text": "A red fox runs.", "at": [1, 0, 0], "year": 2024},
                "wolf": {"text": "Grey wolves run.", "at": [0.9, 0.1, 0], "year": 2023},
                "whale": {"text": "A blue whale dives.", "at": [0, 0, 1], "year": 2024},
            }
        )
        for one in await notes.nearest([1, 0.05, 0], limit=2):
            print(one.key, round(one.distance or 0, 4))
        print([one.key for one in await notes.nearest([1, 0, 0], year=2024, limit=1)])
        for one in await notes.search("running", vector=[1, 0, 0], highlight=["text"]):
            print(one.key, one.highlights)


asyncio.run(main())
