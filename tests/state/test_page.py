"""The page of the manual runs, and what it says how to add is added."""

import re
from pathlib import Path
from typing import Any

import pytest

from holdfast.state.telemetry import OPERATIONS, RecordingTelemetry
from tests.state.conftest import RedisServer, command, opened, run
from tests.tidy import repository
from tests.tidy.test_documents import Page


@pytest.mark.row("D-009", "D-134", "D-100")
def test_the_page_runs_and_says_what_this_is_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = repository.ROOT / "docs/how-to/state.md"
    try:
        assert Page(path).run() == 13
    finally:
        for name in ("geo.add", "geo.distance"):
            OPERATIONS.pop(name, None)
    text = path.read_text()
    assert "state that comes and goes" in text
    assert "belongs in a database" in text


@pytest.mark.row("D-069", "D-116")
def test_an_area_is_added_as_the_page_says(redis: RedisServer, service: str) -> None:
    text = (repository.ROOT / "docs/how-to/state.md").read_text()
    [block] = re.findall(
        r"```python\n(from holdfast.state import ExtensionArea\n.*?)```", text, re.DOTALL
    )
    names: dict[str, Any] = {}
    exec(block.partition("geo = store")[0], names)
    telemetry = RecordingTelemetry()

    async def main() -> None:
        async with opened(redis, service, lambda b: b.with_telemetry(telemetry)) as root:
            store = root.scope("org", 1)
            geo = store.area(names["Geo"])
            await geo.add("sicily", "Palermo", 13.361389, 38.115556)
            await geo.add("sicily", "Catania", 15.087269, 37.502669)
            assert round(await geo.distance("sicily", "Palermo", "Catania")) == 166_274
            assert await geo.distance("sicily", "Palermo", "Rome") is None
            key = f"holdfast:state:{service}:org:1:x:geo:sicily"
            assert await command(root, "TYPE", key) == b"zset"
            assert await root.area(names["Geo"]).distance("sicily", "Palermo", "Catania") is None
            assert (await store.purge_scope()).removed == {"x": 1}

    try:
        run(main())
        assert telemetry.complaints == []
        assert telemetry.names[:2] == ["geo.add.started", "geo.add.success"]
    finally:
        for name in ("geo.add", "geo.distance"):
            OPERATIONS.pop(name, None)
