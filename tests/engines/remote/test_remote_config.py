"""The settings of engines with a server, as URLs and as objects; secrets are never printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

from holdfast.contract.errors import ConfigInvalid
from holdfast.engines.remote import RemoteConfig


@dataclass(frozen=True, kw_only=True)
class AnyConfig(RemoteConfig):
    scheme: ClassVar[str] = "any"
    default_port: ClassVar[int] = 7000


@pytest.mark.parametrize(
    ("url", "config"),
    [
        ("any://", AnyConfig()),
        ("any://db.example", AnyConfig(host="db.example")),
        ("any://db.example:81/app", AnyConfig(host="db.example", port=81, database="app")),
        ("any://[::1]:81/a/b", AnyConfig(host="::1", port=81, database="a/b")),
        ("any://ada@h/", AnyConfig(host="h", user="ada")),
        ("any://ada:p%40ss%3A%2F@h/x%20y",
         AnyConfig(host="h", user="ada", password="p@ss:/", database="x y")),
        ("any://h/?answer_timeout=50ms&requests_max=2&read_only=true",
         AnyConfig(host="h", answer_timeout=0.05, requests_max=2, read_only=True)),
    ],
)  # fmt: skip
def test_a_url_and_an_object_are_the_same(url: str, config: AnyConfig) -> None:
    read = AnyConfig.from_url(url)
    assert read == config
    assert AnyConfig.from_url(read.url_with_secrets) == read


def test_the_port_is_the_engines_own_where_none_is_named() -> None:
    assert AnyConfig.from_url("any://h").port == 7000


def test_a_password_is_never_printed() -> None:
    config = AnyConfig.from_url("any://ada:swordfish@h/app")
    for text in (config.url, str(config), repr(config)):
        assert "swordfish" not in text
    assert config.url == "any://ada:***@h:7000/app"


def test_a_password_that_was_not_encoded_is_not_printed_either() -> None:
    with pytest.raises(ConfigInvalid) as refusal:
        AnyConfig.from_url("any://ada:xyzzy/plugh@h/app")
    assert "xyzzy" not in f"{refusal.value!r} {refusal.value.__cause__!r}"
    assert refusal.value.__suppress_context__


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("any://h:port/", "a port is a number"),
        ("any://h:70000/", "a port is a number"),
        ("any://h/?answer_timeout=0", "answer_timeout lies above zero"),
        ("any://h/?connect_timeout=-1", "connect_timeout"),
        ("any://h/?requests_max=0", "requests_max lies above zero"),
        ("any://h/?waiting_max=0", "waiting_max lies above zero"),
        ("any://h/?user=ada", "found 'user'"),
        ("any://h/?passwort=x", "found 'passwort'"),
    ],
)
def test_what_cannot_be_is_refused(url: str, said: str) -> None:
    with pytest.raises(ConfigInvalid, match=said):
        AnyConfig.from_url(url)
