"""What streams on a database do inside: finding places by instants, trimming much at once."""

from typing import Any

import pytest

from holdfast.contract.errors import InvalidInput, InvalidValue, KeyNotFound
from holdfast.contract.runtime import ManualClock
from tests.state.conftest import run
from tests.state.embedded.conftest import Open


@pytest.mark.row("D-053", "D-055")
def test_a_place_is_found_by_its_instant(here: Open, clock: ManualClock) -> None:
    async def main() -> None:
        async with here() as (_, store):
            adapter = store._scene.adapter
            began = clock.now_ms()
            ids = []
            for n in range(100):
                ids.append(await adapter.append("s", b"%d" % n))
                if n % 3 == 2:
                    clock.advance(1)

            async def after(id: str) -> list[bytes | None]:
                return [one.data for one in await adapter.read_after("s", id, count=200)]

            everything = [b"%d" % n for n in range(100)]
            for n in (0, 1, 50, 99):
                assert await after(ids[n]) == everything[n + 1 :]
            # Ids that no message has: all that came at a second, and later.
            assert await after("0") == everything
            assert await after(f"{began + 5000}") == everything[15:]
            assert await after(f"{began + 5000}-15") == everything[16:]
            assert await after(f"{began + 5500}-7") == everything[18:]
            assert await after(f"{began + 999_000}-0") == []
            assert await after(f"{began - 1}-99") == everything
            await adapter.ensure_group("s", "late", f"{began + 5000}")
            [first] = await adapter.read_group("s", "late", "c", count=1)
            assert first.data == b"15"
            # What was trimmed away is behind nobody.
            await adapter.append("s", b"100", length_max=20)
            assert await after(f"{began}-0") == [*everything[81:], b"100"]
            assert (await adapter.read_group("s", "late", "c", count=1))[0].data == b"81"
            for wrong in ("x", "1-x", "-1", "1-2-3", "9" * 50, str(1 << 64)):
                with pytest.raises(InvalidInput):
                    await after(wrong)

    run(main())


@pytest.mark.row("D-187")
def test_much_is_trimmed_at_once(here: Open) -> None:
    async def main() -> None:
        async with here() as (_, store):
            adapter = store._scene.adapter
            for n in range(300):
                await adapter.append("s", b"%d" % n)
            await adapter.append("s", b"last", length_max=250, approximate=True)
            assert await adapter.length("s") == 301
            await adapter.append("s", b"now", length_max=250)
            assert await adapter.length("s") == 250
            await adapter.append("s", b"then", length_max=3)
            found = [one.data for one in await adapter.read_last("s", 10)]
            assert found == [b"last", b"now", b"then"]

    run(main())


def test_streams_and_values_are_told_apart(here: Open, clock: ManualClock) -> None:
    async def main() -> None:
        async with here() as (_, store):
            adapter = store._scene.adapter
            await adapter.set("v", b"1")
            await adapter.ensure_group("s", "g", "$")
            wrong: list[Any] = [
                adapter.append("v", b""), adapter.ensure_group("v", "g", "$"),
                adapter.read_group("v", "g", "c", count=1), adapter.pending("v", "g", count=1),
                adapter.acknowledge("v", "g", ["1-1"]), adapter.length("v"), adapter.get("s"),
                adapter.add("s", 1), adapter.members("s"), adapter.join("s", "m", 5),
                adapter.limit_sliding("v", 1, 1, 1), adapter.limit_bucket("v", 1, 1.0, 1),
            ]  # fmt: skip
            for one in wrong:
                with pytest.raises(InvalidValue):
                    await one
            for missing in ("s", "none"):
                with pytest.raises(KeyNotFound):
                    await adapter.reclaim(missing, "none", "c", idle_ms=0, count=1)
            with pytest.raises(InvalidInput, match="last step returned"):
                await adapter.scan("*", "kÄ", 10)
            # A window of an older writer, without an end, is closed from now on.
            await adapter.set("w", b"3")
            assert (await adapter.limit_fixed("w", 3, 1000, 1)).retry_after_ms == 1000
            assert await adapter.remaining_ms("w") == 1000

    run(main())
