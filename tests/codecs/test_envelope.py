"""The stored form of entries: what goes in comes out, damage and later formats are refused."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.codecs import envelope
from holdfast.contract.errors import FormatTooNew, IntegrityFailed, StoreError
from holdfast.store.versions.entry import Entry

INSTANTS = st.integers(0, 2**47)
AUTHORS = (
    st.none() | st.text(st.characters(exclude_categories=["Cs"])) | st.integers(-(2**63), 2**64 - 1)
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
EXTRAS = st.builds(
    envelope.Extras,
    AUTHORS,
    st.none() | TEXT,
    st.lists(TEXT, max_size=4).map(tuple),
    st.none() | TEXT,
)
PARTS = st.fixed_dictionaries(
    {
        "flags": st.sampled_from([0, envelope.BLOB]),
        "version": st.integers(1, 2**64 - 1),
        "incarnation": st.integers(1, 2**32 - 1),
        "created_at_ms": INSTANTS,
        "updated_at_ms": INSTANTS,
        "expires_at_ms": INSTANTS,
        "digest": st.binary(min_size=32, max_size=32),
        "identity": st.binary(min_size=16, max_size=16),
        "extras": EXTRAS,
        "payload": st.binary(min_size=1, max_size=50),
    }
)


def sealed(**changes: Any) -> bytes:
    parts: dict[str, Any] = {
        "flags": 0,
        "version": 3,
        "incarnation": 2,
        "created_at_ms": 1_000,
        "updated_at_ms": 2_000,
        "expires_at_ms": 0,
        "digest": b"d" * 32,
        "identity": b"i" * 16,
        "extras": envelope.NO_EXTRAS,
        "payload": b"\x01\xa5value",
    }
    return envelope.seal(**(parts | changes))


@pytest.mark.row("K-009", "K-011", "K-017")
@given(PARTS)
def test_every_part_comes_back(parts: dict[str, Any]) -> None:
    stored = envelope.seal(**parts)
    header = envelope.header_of(stored)
    for name in ("version", "incarnation", "created_at_ms", "updated_at_ms", "expires_at_ms"):
        assert getattr(header, name) == parts[name]
    assert (header.digest, header.identity) == (parts["digest"], parts["identity"])
    assert envelope.extras_of(stored, header.extras_length) == parts["extras"]
    assert stored[envelope.payload_offset(stored) :] == parts["payload"]
    assert envelope.expires_at_ms(stored) == parts["expires_at_ms"]
    assert bool(header.flags & envelope.BLOB) == bool(parts["flags"])


def test_seven_and_seven_as_text_are_two_authors() -> None:
    for author in (7, "7"):
        stored = sealed(extras=envelope.Extras(author))
        found = envelope.extras_of(stored, envelope.header_of(stored).extras_length)
        assert found.modified_by == author
        assert type(found.modified_by) is type(author)


def test_an_entry_without_extras_is_the_header_and_its_payload() -> None:
    assert len(sealed()) == envelope.HEADER_BYTES + len(b"\x01\xa5value")


def test_the_layout_is_the_documented_one() -> None:
    stored = sealed(expires_at_ms=9)
    assert stored[0] == 1
    assert stored[1] == envelope.EXPIRES
    assert stored[2:10] == (3).to_bytes(8, "big")
    assert stored[10:14] == (2).to_bytes(4, "big")
    assert stored[14:22] == (1_000).to_bytes(8, "big")
    assert stored[22:30] == (2_000).to_bytes(8, "big")
    assert stored[30:38] == (9).to_bytes(8, "big")
    assert stored[38:70] == b"d" * 32
    assert stored[70:86] == b"i" * 16
    assert stored[86:88] == b"\0\0"
    assert stored[88:] == b"\x01\xa5value"


@given(PARTS)
def test_giving_up_the_value_keeps_everything_else(parts: dict[str, Any]) -> None:
    stored = envelope.seal(**parts)
    kept = envelope.without_payload(stored)
    before, after = envelope.header_of(stored), envelope.header_of(kept)
    assert after.flags == (before.flags | envelope.VALUE_GONE) & ~envelope.BLOB
    assert after._replace(flags=0) == before._replace(flags=0)
    assert envelope.extras_of(kept, after.extras_length) == parts["extras"]
    assert envelope.payload_offset(kept) == len(kept)
    assert envelope.without_payload(kept) == kept


@pytest.mark.parametrize("later", [2, 3, 255])
def test_a_later_format_says_which_was_found(later: int) -> None:
    stored = bytes((later,)) + sealed()[1:]
    with pytest.raises(FormatTooNew) as caught:
        envelope.header_of(stored)
    assert caught.value.found == later
    assert caught.value.supported == envelope.FORMAT


def test_a_format_before_the_first_is_damage() -> None:
    with pytest.raises(IntegrityFailed):
        envelope.header_of(b"\0" + sealed()[1:])


@given(st.integers(0, envelope.HEADER_BYTES - 1))
def test_a_cut_header_is_damage(length: int) -> None:
    with pytest.raises(IntegrityFailed, match=str(length)):
        envelope.header_of(sealed()[:length])


@pytest.mark.parametrize("extras", [envelope.NO_EXTRAS, envelope.Extras("ada", "why", ("vip",))])
def test_a_cut_entry_is_refused_wherever_it_is_cut(extras: envelope.Extras) -> None:
    stored = sealed(extras=extras)
    assert Entry[Any]("a", stored, 1).value == "value"
    for length in range(envelope.HEADER_BYTES, len(stored)):
        with pytest.raises(StoreError):
            _ = Entry[Any]("a", stored[:length], 1).value


@given(st.binary(min_size=3, max_size=3))
@example(b"\x91\xa4\x00")  # A text of four bytes that are no UTF-8.
def test_damaged_extras_raise_an_error_of_ours(noise: bytes) -> None:
    stored = bytearray(sealed(extras=envelope.Extras("ada", "why")))
    stored[envelope.HEADER_BYTES : envelope.HEADER_BYTES + 3] = noise
    header = envelope.header_of(bytes(stored))
    try:
        envelope.extras_of(bytes(stored), header.extras_length)
    except StoreError:
        return  # Otherwise the noise spells other extras, which no structure can tell.
