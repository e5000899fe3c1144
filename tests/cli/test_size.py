"""The commands size and check --repair: what there is, and what follows from it mended."""

import holdfast.sync
from holdfast.contract.batch import Batch, Delete
from holdfast.contract.record import Range
from holdfast.runtime.drive import drive
from holdfast.store import layout
from tests.cli.conftest import Cli


def test_the_size_is_told_by_keyspace_and_part(cli: Cli, url: str) -> None:
    cli("set", "a:1", '"x"')
    cli("set", "a:1", '"y"')
    told = cli("size", "--json").document
    [entries] = told["keyspaces"]
    assert {name: part["rows"] for name, part in entries["parts"].items()} == {
        "values": 1, "history": 1,
    }  # fmt: skip
    assert told["feed"]["rows"] == 2
    assert told["on_disk"] >= told["total_size"] > 0
    shown = cli("size")
    assert f"{told['total_rows']} rows of" in shown.out
    assert "history" in shown.out


def test_rows_that_follow_from_others_are_mended(cli: Cli, url: str) -> None:
    cli("set", "a:1", '"x"', "--tag", "red")
    assert cli("check", "--repair").code == 0
    with holdfast.sync.open(url) as db:
        engine = db._inner._open_engine()
        page = drive(engine.scan(Range.prefix(layout.region(1, layout.TAG))))
        [key] = [key for key, _ in page.rows]
        drive(engine.commit(Batch([Delete(key)])))
    assert cli("check").code == 1
    mended = cli("check", "--repair", "--json")
    assert mended.code == 1
    assert mended.document["mended"] == ["made a row of tags of 'entries'"]
    assert mended.document["faults"] == []
    assert cli("check").code == 0
