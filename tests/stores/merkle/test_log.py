"""The log over a feed: what RFC 6962 says, and nothing else."""

from __future__ import annotations

import inspect
from hashlib import sha256

import pytest

from holdfast.contract.errors import IntegrityFailed, InvalidInput
from holdfast.stores.merkle import (
    Ed25519Signer,
    FeedLog,
    consistency_holds,
    inclusion_holds,
    leaf_hash,
    log_proofs,
    verify_head,
)
from tests.stores.iavl.memory import MemoryRows

# The inputs and roots of the reference tests of certificate transparency.
REFERENCE = [
    ("", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
    ("00", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
    ("10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
    ("2021", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"),
    ("3031", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
    ("40414243", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"),
    ("5051525354555657", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
    (
        "606162636465666768696a6b6c6d6e6f",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ),
]


def root_of(rows: list[bytes]) -> bytes:
    """The definition of section 2.1 of RFC 6962, word for word."""
    if not rows:
        return sha256(b"").digest()
    if len(rows) == 1:
        return sha256(b"\x00" + rows[0]).digest()
    split = 1
    while split * 2 < len(rows):
        split *= 2
    return sha256(b"\x01" + root_of(rows[:split]) + root_of(rows[split:])).digest()


class Kept:
    def __init__(self, feed: list[bytes], step: int = 1) -> None:
        self.feed = feed
        self.rows = MemoryRows()
        log = FeedLog(self.rows)
        for at in range(0, len(feed), step):
            head, batch = log.append(feed[at : at + step])
            self.rows.write(batch)
            log.head = head
        self.log = FeedLog(self.rows)


FEED = [b"row %d" % number for number in range(70)]


def test_the_roots_are_those_of_the_reference() -> None:
    rows: list[bytes] = []
    for text, root in REFERENCE:
        rows.append(bytes.fromhex(text))
        assert Kept(rows).log.root().hex() == root == root_of(rows).hex()
    assert FeedLog(MemoryRows()).root() == sha256(b"").digest()


@pytest.mark.parametrize("step", [1, 7, 16, 70])
def test_the_root_at_every_size_is_that_of_the_definition(step: int) -> None:
    log = Kept(FEED, step).log
    for size in range(len(FEED) + 1):
        assert log.root(size) == root_of(FEED[:size])


def test_every_row_at_every_size_is_proven_and_no_other() -> None:
    log = Kept(FEED).log
    for size in range(1, len(FEED) + 1):
        root = log.root(size)
        for index in range(size):
            path = log.prove_inclusion(index, size)
            leaf = leaf_hash(FEED[index])
            assert inclusion_holds(leaf, index, size, path, root)
            assert not inclusion_holds(leaf, (index + 1) % size, size, path, root) or size == 1
            assert not inclusion_holds(leaf_hash(b"other"), index, size, path, root)
            assert not inclusion_holds(leaf, index, size, [*path, leaf], root)
            assert not inclusion_holds(leaf, index, size, path[:-1], root) or not path
            assert not inclusion_holds(leaf, size, size, path, root)
            for place in range(len(path)):
                wrong = [*path]
                wrong[place] = bytes([wrong[place][0] ^ 1]) + wrong[place][1:]
                assert not inclusion_holds(leaf, index, size, wrong, root)


def test_every_size_is_the_beginning_of_every_later_one() -> None:
    log = Kept(FEED).log
    roots = [log.root(size) for size in range(len(FEED) + 1)]
    for size in range(len(FEED) + 1):
        for old in range(size + 1):
            path = log.prove_consistency(old, size)
            assert consistency_holds(old, size, roots[old], roots[size], path)
            if old:
                assert not consistency_holds(old, size, roots[old - 1], roots[size], path)
            if 0 < old < size:
                assert not consistency_holds(old, size, roots[old], roots[size - 1], path)
                assert not consistency_holds(old, size, roots[old], roots[size], path[:-1])
                assert not consistency_holds(old, size, roots[old], roots[size], [*path, roots[1]])
            for place in range(len(path)):
                wrong = [*path]
                wrong[place] = bytes([wrong[place][0] ^ 1]) + wrong[place][1:]
                assert not consistency_holds(old, size, roots[old], roots[size], wrong)
    assert not consistency_holds(2, 1, roots[2], roots[1], [])


def test_a_feed_that_was_rewritten_is_no_continuation() -> None:
    old = Kept(FEED[:20]).log
    other = Kept([*FEED[:7], b"changed", *FEED[8:]]).log
    path = other.prove_consistency(20)
    assert not consistency_holds(20, len(FEED), old.root(), other.root(), path)


def test_the_first_row_that_does_not_hold_is_named() -> None:
    log = Kept(FEED).log
    assert log.first_wrong_row(FEED) is None
    for wrong in range(len(FEED)):
        feed = [*FEED[:wrong], b"changed", *FEED[wrong + 1 :]]
        assert log.first_wrong_row(feed) == wrong
        assert log.first_wrong_row(FEED[:wrong]) == wrong
    swapped = [*FEED[:30], FEED[31], FEED[30], *FEED[32:]]
    assert log.first_wrong_row(swapped) == 30


def test_a_log_that_is_damaged_judges_nobody() -> None:
    kept = Kept(FEED)
    for key, row in dict(kept.rows.rows).items():
        for changed in (None, row[:-1], bytes([row[0] ^ 1]) + row[1:], row[:-1] + b"\xff"):
            rows = kept.rows.rows | {key: changed or b""}
            if changed is None:
                del rows[key]
            if key == b"mfeed" and changed is None:
                assert FeedLog(MemoryRows(rows)).root() == sha256(b"").digest()
                continue
            try:
                log = FeedLog(MemoryRows(rows))
                wrong = log.first_wrong_row(FEED)
                same = log.root() == kept.log.root()
                proven = all(
                    inclusion_holds(
                        leaf_hash(FEED[at]), at, 70, log.prove_inclusion(at), log.root()
                    )
                    for at in range(70)
                )
            except IntegrityFailed:
                continue
            # What is only stored to be quick may be wrong, but then its proofs do not hold.
            assert wrong is None
            assert same
            assert not proven


def test_what_is_not_there_is_not_proven() -> None:
    log = Kept(FEED).log
    for index, size in ((70, None), (-1, None), (5, 5), (0, 71), (0, 0)):
        with pytest.raises(InvalidInput):
            log.prove_inclusion(index, size)
    for old, size in ((71, None), (-1, None), (0, 71)):
        with pytest.raises(InvalidInput):
            log.prove_consistency(old, size)


def test_an_auditor_needs_twenty_lines_and_no_holdfast() -> None:
    """The function that checks a receipt runs by itself, in an empty namespace."""
    source = inspect.getsource(log_proofs.inclusion_holds)
    lines = [line for line in source.splitlines() if line.strip()]
    assert len(lines) <= 20
    namespace: dict[str, object] = {}
    head = "from hashlib import sha256\nfrom collections.abc import Sequence\n"
    exec(head + source, namespace)
    log = Kept(FEED).log
    holds = namespace["inclusion_holds"]
    assert callable(holds)
    path = log.prove_inclusion(42)
    assert holds(leaf_hash(FEED[42]), 42, 70, path, log.root())
    assert not holds(leaf_hash(FEED[41]), 42, 70, path, log.root())
    imports = [line for line in inspect.getsource(log_proofs).splitlines() if "import" in line]
    assert not [line for line in imports if "holdfast" in line]


def test_a_head_is_signed_and_no_other_passes() -> None:
    log = Kept(FEED).log
    signer = Ed25519Signer(bytes(range(32)))
    head = signer.sign(log.head.size, log.root())
    verify_head(head, signer.public_key)
    other = Ed25519Signer(bytes(32))
    from msgspec.structs import replace

    for wrong, key in (
        (head, other.public_key),
        (replace(head, size=69), signer.public_key),
        (replace(head, size=-1), signer.public_key),
        (replace(head, size=1 << 64), signer.public_key),
        (replace(head, root=log.root(69)), signer.public_key),
        (replace(head, signature=bytes(64)), signer.public_key),
        (replace(head, signature=b""), signer.public_key),
    ):
        with pytest.raises(IntegrityFailed):
            verify_head(wrong, key)
    for key in (b"", bytes(31)):
        with pytest.raises(InvalidInput):
            Ed25519Signer(key)
        with pytest.raises(InvalidInput):
            verify_head(head, key)
