"""Roots and rows are, byte for byte, those that cosmos/iavl v1 makes of the same operations."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from holdfast.stores.iavl import IavlTree
from holdfast.stores.iavl.encoding import decode_node, inner_rows, leaf_rows, named, zigzag
from tests.stores.iavl.memory import MemoryRows

VECTORS = Path(__file__).parent / "vectors"
SCENARIOS = [json.loads(line) for line in (VECTORS / "scenarios.jsonl").read_text().splitlines()]
MASK = (1 << 64) - 1

# A first version of one key has a leaf for its root. When that leaf is pruned, the other side looks
# for it where moved roots are and leaves it behind for good; here it goes.
LEFT_BEHIND = {"a version each": bytes.fromhex("73000000000000000100000001")}


def stream(x: int) -> Iterator[int]:
    """The numbers that the operations of a scenario are made of (splitmix64)."""
    while True:
        x = (x + 0x9E3779B97F4A7C15) & MASK
        z = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
        yield z ^ z >> 31


def plain_row(key: bytes, value: bytes) -> bytes:
    """A row as the other side has it: without the check sums and the root hash of the index."""
    return value[: {b"f": -4, b"m": -32}.get(key[:1])]


def digest(rows: dict[bytes, bytes], prefixes: bytes) -> str:
    hash = sha256()
    for key in sorted(rows):
        if key[0] in prefixes and key != b"msaved_versions":
            for part in (key, plain_row(key, rows[key])):
                hash.update(len(part).to_bytes(4, "big") + part)
    return hash.hexdigest()


class Replay:
    """The operations of a scenario, again."""

    def __init__(self, scenario: dict[str, Any]) -> None:
        self.scenario = scenario
        self.rows = MemoryRows()
        self.numbers = stream(scenario["seed"])
        self.left_behind: dict[bytes, bytes] = {}
        self.tree = self.opened()

    def opened(self, **settings: Any) -> IavlTree:
        first = self.scenario["initial_version"] or 1
        return IavlTree(
            self.rows, initial_version=first, fast_index=self.scenario["fast"], **settings
        )

    def told(self, what: str, turn: int) -> int | None:
        found: int | None = (self.scenario[what] or {}).get(str(turn))
        return found

    def operate(self, turn: int) -> None:
        if self.told("clear", turn):
            for key, _ in list(self.tree.items()):
                self.tree.remove(key)
        elif not self.told("idle", turn):
            for _ in range(self.scenario["operations"]):
                self.one_operation()

    def one_operation(self) -> None:
        kind, number = next(self.numbers), next(self.numbers) % self.scenario["keys"]
        key = b"%07d" % number + bytes(self.scenario["key_bytes"] - 7)
        if kind % 10 < 7:
            size = (kind >> 8) % 5 * 6
            self.tree.set(key, bytes(kind >> place % 8 * 8 & 255 for place in range(size)))
        else:
            self.tree.remove(key)

    def prune(self, to: int) -> None:
        key = LEFT_BEHIND.get(self.scenario["name"])
        if key and key in self.rows.rows:
            self.left_behind[key] = self.rows.rows[key]
        self.rows.prune(self.tree, to)
        assert not self.left_behind.keys() & self.rows.rows.keys()

    def nodes(self) -> str:
        return digest(self.rows.rows | self.left_behind, b"s")


@pytest.mark.row("E-083")
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario["name"])
def test_operations_give_the_same_roots_and_rows(scenario: dict[str, Any]) -> None:
    replay = Replay(scenario)
    rows = replay.rows
    for turn, expected in enumerate(scenario["saves"], 1):
        replay.operate(turn)
        step = rows.save(replay.tree)
        assert (step.version, step.root_hash.hex()) == (expected["version"], expected["root"])
        assert replay.nodes() == expected["nodes"]
        if scenario["fast"]:
            assert digest(rows.rows, b"fm") == expected["index"]
        for key, value in (expected.get("rows") or {}).items():
            assert plain_row(bytes.fromhex(key), rows.rows[bytes.fromhex(key)]).hex() == value
        if to := replay.told("prune", turn):
            replay.prune(to)
            assert replay.nodes() == expected["pruned"]
        if to := replay.told("rollback", turn):
            rows.commit(replay.tree, replay.tree.rollback(to))
        if turn % 3 == 0:
            replay.tree = replay.opened(cache_nodes=8)


@pytest.mark.row("E-083")
def test_the_roots_of_the_test_of_tree_hashes() -> None:
    """16,384 operations over four versions, the roots being those of TestTreeHash."""
    rows = MemoryRows()
    tree = IavlTree(rows)
    roots = []
    with gzip.open(VECTORS / "tree_hash.txt.gz", "rt") as lines:
        for line in lines:
            kind, *fields = line.split()
            match kind, [bytes.fromhex(field) for field in fields]:
                case "=", [key, value]:
                    tree.set(key, value)
                case "-", [key]:
                    assert tree.remove(key) is not None
                case "#", [root]:
                    assert rows.save(tree).root_hash == root
                    roots.append(root.hex())
    assert roots == [
        "58ec30fa27f338057e5964ed9ec3367e59b2b54bec4c194f10fde7fed16c2a1c",
        "91ad3ace227372f0064b2d63e8493ce8f4bdcbd16c7a8e4f4d54029c9db9570c",
        "92c25dce822c5968c228cfe7e686129ea281f79273d4a8fcf6f9130a47aa5421",
        "e44d170925554f42e00263155c19574837a38e3efed8910daccc7fa12f560fa0",
    ]


@pytest.mark.row("E-083")
def test_the_rows_of_the_test_of_node_encoding() -> None:
    """An inner node and a leaf as TestNode_encode_decode has them."""
    inner = bytes.fromhex(
        "060e036b6579207f6890ca16dea6e8893d96f0a30d0a14e55559fc9b830491e3d2451c81f6d10e0002020202"
    )
    node = decode_node((2 << 32) | 1, inner)
    first = (1 << 32) | 1
    assert (node.height, node.size, node.key) == (3, 7, b"key")
    assert (node.left, node.right) == (first, first)
    assert node.link == bytes.fromhex("000000000000000200000001") + inner[7:39]
    # The hash of that test is no hash of its children, so it is compared apart.
    child = named(first.to_bytes(12, "big"))
    hash, row = inner_rows(node, zigzag(2), child, child)
    assert row.replace(hash, inner[7:39]) == inner
    leaf = decode_node((3 << 32) | 1, bytes.fromhex("0002036b65790576616c7565"))
    assert (leaf.height, leaf.size, leaf.key, leaf.value) == (0, 1, b"key", b"value")
    assert leaf_rows(b"key", b"value", zigzag(3))[1].hex() == "0002036b65790576616c7565"
