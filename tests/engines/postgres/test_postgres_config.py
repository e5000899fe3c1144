"""The URL of a database on PostgreSQL: what it says, what is refused, what is never printed."""

from __future__ import annotations

import pytest

from holdfast.contract.errors import ConfigInvalid
from holdfast.engines.postgres import PostgresConfig
from holdfast.store.registry import engine_class, read_config


def test_a_url_and_a_configuration_are_the_same() -> None:
    url = "postgres://ada:pa%2Fss@example.org:7000/app?schema=my%20data&durability=full&tls=require"
    config = PostgresConfig.from_url(url)
    assert (config.user, config.password, config.host, config.port) == (
        "ada", "pa/ss", "example.org", 7000,
    )  # fmt: skip
    assert (config.database, config.schema, config.durability) == ("app", "my data", "full")
    assert PostgresConfig.from_url(config.url_with_secrets) == config
    assert read_config(url) == config
    assert engine_class("postgres").config_type is PostgresConfig
    assert config.login()["sslmode"] == "require"


@pytest.mark.row("I-097")
def test_passwords_are_never_printed() -> None:
    config = PostgresConfig(user="ada", password="marker")
    for shown in (repr(config), str(config), config.url):
        assert "marker" not in shown
    assert PostgresConfig.from_url(config.url_with_secrets) == config


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("postgres://host/app?schema=", "1 to 63"),
        ("postgres://host/app?schema=" + "a" * 64, "1 to 63"),
        ("postgres://host/app?schema=pg_mine", "pg_"),
        ("postgres://host/app?connections_max=0", "connections_max"),
        ("postgres://host/app?tls=maybe", "one of"),
        ("postgres://host/app?shema=a", "did you mean 'schema'"),
    ],
)
def test_what_makes_no_sense_is_refused(url: str, complaint: str) -> None:
    with pytest.raises(ConfigInvalid, match=complaint):
        PostgresConfig.from_url(url)
