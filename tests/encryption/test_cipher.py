"""The cipher is XAES-256-GCM, and no nonce of it comes twice."""

from __future__ import annotations

import os

import pytest
from cryptography.exceptions import InvalidTag

from holdfast.layers.encrypt import cipher as ciphers
from holdfast.layers.encrypt.cipher import HALF_BYTES, NONCE_BYTES, Cipher, new_key, new_nonces

#: From the specification (C2SP, XAES-256-GCM): key, what is authenticated, and what comes out.
VECTORS = (
    (b"\1" * 32, b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
    (
        b"\3" * 32,
        b"c2sp.org/XAES-256-GCM",
        "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
    ),
)
NONCE = b"ABCDEFGHIJKLMNOPQRSTUVWX"


@pytest.mark.parametrize(("key", "associated", "sealed"), VECTORS)
def test_it_opens_what_the_specification_sealed(key: bytes, associated: bytes, sealed: str) -> None:
    assert Cipher(key).open(NONCE + bytes.fromhex(sealed), associated) == b"XAES-256-GCM"


def test_what_is_sealed_opens_with_the_same_key_and_associated_bytes_alone() -> None:
    key = new_key()
    sealed = Cipher(key).seal(b"value", b"place")
    assert Cipher(key).open(b"12345" + sealed, b"place", 5) == b"value"
    for other, associated in ((Cipher(new_key()), b"place"), (Cipher(key), b"elsewhere")):
        with pytest.raises(InvalidTag):
            other.open(sealed, associated)
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1
        with pytest.raises(InvalidTag):
            Cipher(key).open(bytes(changed), b"place")


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes; found 16"):
        Cipher(bytes(16))


@pytest.mark.row("E-129")
def test_nonces_go_on_after_a_session_and_a_count_that_runs_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ciphers, "SESSION_MESSAGES_MAX", 10)
    cipher = Cipher(new_key())
    nonces = iter(range((1 << 8 * HALF_BYTES) - 3, (1 << 8 * HALF_BYTES) + 40))
    sealed = [cipher.seal(b"x", b"", nonces) for _ in range(40)]
    assert len({one[:NONCE_BYTES] for one in sealed}) == 40
    assert len({one[:HALF_BYTES] for one in sealed}) == 4, "a session has its messages and no more"
    assert all(cipher.open(one, b"") == b"x" for one in sealed)


@pytest.mark.row("E-129")
@pytest.mark.platform("forks, which Windows has not")
def test_a_forked_child_never_repeats_a_nonce_of_its_parent() -> None:
    cipher = Cipher(new_key())
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        mine = b"".join(cipher.seal(b"", b"", new_nonces())[:NONCE_BYTES] for _ in range(100))
        os.write(writer, mine)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        theirs = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    children = {theirs[at : at + NONCE_BYTES] for at in range(0, len(theirs), NONCE_BYTES)}
    ours = {cipher.seal(b"", b"")[:NONCE_BYTES] for _ in range(100)}
    assert len(children) == len(ours) == 100
    assert not children & ours


def test_derived_keys_for_reading_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ciphers, "SESSIONS_MAX", 4)
    key = new_key()
    reading = Cipher(key)
    for number in range(20):
        sealed = Cipher(key).seal(b"%d" % number, b"")
        assert reading.open(sealed, b"") == b"%d" % number
    assert len(reading._sessions) <= 4
