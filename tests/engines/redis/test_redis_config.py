"""The URL of a database on Redis: what it says, what is refused, and what is never printed."""

from __future__ import annotations

import pytest

from holdfast.contract.errors import ConfigInvalid
from holdfast.engines.redis import RedisConfig
from holdfast.engines.redis.places import slot_of
from holdfast.store.registry import engine_class, read_config


def test_a_url_and_a_configuration_are_the_same() -> None:
    url = (
        "redis://ada:pa%2Fss@example.org:7000/3?prefix=app:1&sentinel=main&hosts=b:1,%5B::1%5D,c"
        "&wait_replicas=2&wait_timeout=250ms&tls=true"
    )
    config = RedisConfig.from_url(url)
    assert (config.user, config.password, config.host, config.port) == (
        "ada", "pa/ss", "example.org", 7000,
    )  # fmt: skip
    assert (config.database, config.prefix, config.sentinel) == ("3", "app:1", "main")
    assert (config.wait_replicas, config.wait_timeout, config.tls) == (2, 0.25, True)
    assert config.addresses == [("example.org", 7000), ("b", 1), ("::1", 7000), ("c", 7000)]
    assert RedisConfig.from_url(config.url_with_secrets) == config
    assert read_config(url) == config
    assert engine_class("redis").config_type is RedisConfig


def test_the_port_and_the_name_of_the_database_have_defaults() -> None:
    config = RedisConfig.from_url("redis://")
    assert config.addresses == [("localhost", 6379)]
    assert config.prefix == "holdfast"


@pytest.mark.row("I-097")
def test_passwords_are_never_printed() -> None:
    config = RedisConfig(password="marker", sentinel="main", sentinel_password="marker")
    for shown in (repr(config), str(config), config.url):
        assert "marker" not in shown
    assert RedisConfig.from_url(config.url_with_secrets) == config


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("redis://host/app", "prefix="),
        ("redis://host/0?prefix=", "1 to 200"),
        ("redis://host/0?prefix=%7Ba%7D", "1 to 200"),
        ("redis://host/0?prefix=a?read_only=true", "1 to 200"),
        ("redis://host/0?prefix=" + "a" * 201, "1 to 200"),
        ("redis://host/0?durability=relaxed", "appendfsync"),
        ("redis://host/0?sentinel=", "group"),
        ("redis://host/0?hosts=a:b", "host:port"),
        ("redis://host/0?hosts=a:70000", "host:port"),
        ("redis://host/0?wait_replicas=-1", "0 or more"),
        ("redis://host/0?wait_timeout=0", "above zero"),
        ("redis://host/0?prefx=a", "did you mean 'prefix'"),
    ],
)
def test_what_makes_no_sense_is_refused(url: str, complaint: str) -> None:
    with pytest.raises(ConfigInvalid, match=complaint):
        RedisConfig.from_url(url)


def test_a_file_of_certificates_that_is_not_there_is_refused() -> None:
    config = RedisConfig.from_url("redis://host/0?tls=true&tls_ca=/nowhere.pem")
    with pytest.raises(ConfigInvalid, match="tls_ca"):
        config.tls_context()


def test_slots_are_those_of_the_cluster() -> None:
    # The check value of CRC16/XMODEM, as the specification of Redis Cluster gives it.
    assert slot_of(b"123456789") == 0x31C3 % 16384
