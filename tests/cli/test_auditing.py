"""`seal`, `verify`, `receipt` and `store ...`: what they print, and how they end."""

import dbm.dumb
import json
from pathlib import Path

import holdfast.sync
from holdfast.contract.batch import Batch, Put
from holdfast.contract.record import Range
from holdfast.runtime.drive import drive
from holdfast.store import layout
from holdfast.stores.audit.receipts import Receipt
from tests.cli.conftest import Cli


def test_the_first_revision_that_does_not_hold_is_named(cli: Cli, url: str) -> None:
    for n in range(5):
        cli("set", f"k{n}", str(n))
    head = cli("seal").out.strip()
    assert cli("verify").out.startswith("all hold: 5 changes")
    assert cli("verify", "--head", head).code == 0
    assert cli("verify", "--head", "5:" + "0" * 64).code != 0
    assert cli("verify", "--head", "nonsense").code == 2
    with holdfast.sync.open(url) as db:
        engine = db._inner._open_engine()
        page = drive(engine.scan(Range.prefix(layout.FEED)))
        key, record = page.rows[2]
        drive(engine.commit(Batch([Put(key, record.value[:-1] + bytes([record.value[-1] ^ 1]))])))
    revision = int.from_bytes(key[1:9], "big")
    done = cli("verify", "--head", head)
    assert done.code == 1
    assert done.out.startswith(f"revision {revision} does not hold")
    assert cli("verify", "--json").document["wrong_revision"] == revision


def test_a_receipt_is_written(cli: Cli, url: str, tmp_path: Path) -> None:
    cli("set", "a", "1")
    assert cli("receipt", "1").code == 1, "it is not sealed yet"
    sealed = cli("seal", "--json").document
    receipt = Receipt.from_json(cli("receipt", str(sealed["revision"])).out)
    receipt.require()
    assert receipt.root.hex() == sealed["root"]
    output = tmp_path / "receipt.json"
    assert cli("receipt", str(sealed["revision"]), "--output", str(output)).code == 0
    assert json.loads(output.read_text())["size"] == 1
    assert cli("receipt", "99").code == 1


def test_stores_and_versions(cli: Cli, url: str) -> None:
    assert cli("stores", "create", "ledger", "--kind", "iavl").code == 0
    assert cli("stores", "create", "ledger").code != 0
    assert cli("stores", "set", "ledger", "a", "1", "--modified-by", "ada").code == 0
    assert cli("stores", "set", "ledger", "0xff00", "0x00").code == 0
    assert cli("stores", "get", "ledger", "a").out == "1"
    assert cli("stores", "get", "ledger", "0xff00").out == "\x00"
    assert cli("stores", "get", "ledger", "nope").code == 1
    assert cli("stores", "get", "nope", "a").code == 1
    assert cli("stores", "set", "ledger", "0xf", "1").code == 2
    assert cli("stores", "versions", "ledger").out == "no version is saved\n"
    one = cli("stores", "save", "ledger", "--json").document
    assert one["version"] == 1
    cli("stores", "set", "ledger", "a", "2")
    cli("stores", "save", "ledger")
    assert cli("stores", "versions", "ledger", "--json").document[0] == one
    assert cli("stores", "diff", "ledger", "1", "2", "--json").document == [
        {"key": "a", "before": "1", "after": "2"}
    ]
    assert cli("stores", "diff", "ledger", "1", "9").code == 1
    assert cli("stores", "list", "--json").lines == [
        {"name": "ledger", "kind": "iavl", "keys": 2, "versions": [1, 2]}
    ]
    assert cli("stores", "save").out.startswith("version 1 ")


def test_a_dbm_file_is_copied_and_copied_again(cli: Cli, url: str, tmp_path: Path) -> None:
    old = str(tmp_path / "old")
    with dbm.dumb.open(old, "c") as table:
        for number in range(30):
            table[b"%d" % number] = b"v"
    done = cli("migrate", old, "copied", "--json").document
    assert (done["pairs"], done["written"]) == (30, 30)
    again = cli("migrate", old, "copied", "--verify", "--json").document
    assert (again["written"], again["digest"]) == (0, done["digest"])
    assert cli("stores", "get", "copied", "7").out.strip().endswith("v")
    cli("stores", "set", "copied", "more", "x")
    assert cli("migrate", old, "copied").code != 0
    assert cli("migrate", old, "copied", "--no-verify").code == 0
    assert cli("migrate", str(tmp_path / "nope"), "copied").code == 2
    (tmp_path / "text.db").write_text("no database")
    assert cli("migrate", str(tmp_path / "text.db"), "copied").code == 2
    assert url
