"""An address that cannot be read is shown without what may be secret in it."""

import traceback
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

import holdfast
from holdfast.cli import main
from holdfast.contract.config import EngineConfig, PathConfig, masked, secret
from holdfast.contract.errors import StoreError
from holdfast.store.registry import read_config

SECRET = "s3cret"

MALFORMED = [
    "lmdb://u:s3cret@h/app",
    "lmdb://s3cret@h/app",
    "lmdb://:s3cret@/app",
    "lmdb://u:x/s3cret@h/app",
    "lmdb://u:x?s3cret@h/app",
    "lmdb://u:x#s3cret@h/app",
    "lmdb://u:x@s3cret@h/app",
    "lmdb://u:s3cret@h/app\n",
    "lmdb://u:s3cret@[h/app",
    "lmdb://u:s3cret@h\u2100/app",
    "memory://u:s3cret@h",
    "memory://u:x?s3cret@h",
    "sqlite://u:s3cret@h/app.db",
    "mysql://u:s3cret@h/app",
    "postgres://u:s3cret@h:port/app",
    "lmdb:u:s3cret@h/app",
    "lmdb:/u:s3cret@h/app",
    "u:s3cret@h/app",
    "u:s3cret@lmdb://app",
    "lmdb:///app?password=s3cret#x",
    "lmdb:///app?password=s3cret\0",
    "lmdb:///app?password=s3cret",
    "lmdb:///app?durability=full;password=s3cret",
    "//u:s3cret@h/app",
]


@pytest.mark.parametrize("url", MALFORMED)
def test_a_malformed_address_keeps_its_secret(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for attempt in (holdfast.open, read_config):
        with pytest.raises(StoreError) as failure:
            attempt(url)
        error = failure.value
        shown = "".join(traceback.format_exception(error, limit=0)) + repr(error)
        assert SECRET not in shown + repr(error.details)
    assert main(["keys", "--url", url]) == 2
    if "\0" not in url:  # which no environment holds
        monkeypatch.setenv("HOLDFAST_URL", url)
        assert main(["keys", "--json"]) == 2
        assert main(["doctor"]) in (1, 2)
    said = capsys.readouterr()
    assert SECRET not in said.out + said.err


@dataclass(frozen=True, kw_only=True)
class ServerConfig(EngineConfig):
    scheme: ClassVar[str] = "server"
    pin: int | None = secret()
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class FileConfig(PathConfig):
    scheme: ClassVar[str] = "file"
    password: str | None = secret()


@pytest.mark.parametrize(
    ("config", "url"),
    [
        (ServerConfig, "server://?pin=s3cret"),
        (ServerConfig, "server://?label=a&pin=s3cret#"),
        (FileConfig, "file://host?password=s3cret"),
        (FileConfig, "file:///%00?password=s3cret"),
    ],
)
def test_a_secret_parameter_that_cannot_be_read_is_not_shown(
    config: type[EngineConfig], url: str
) -> None:
    with pytest.raises(StoreError) as failure:
        config.from_url(url)
    assert SECRET not in str(failure.value) + repr(failure.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("lmdb://u:s3cret@h/app", "lmdb://***@h/app"),
        ("lmdb:///app?durability=full", "lmdb:///app?durability=***"),
        ("lmdb:///home@work/app", "lmdb:///home@work/app"),
        ("redis://h:6379/0?a=1&b", "redis://h:6379/0?a=***&***"),
        ("", ""),
    ],
)
def test_what_is_left_of_an_address(url: str, shown: str) -> None:
    assert masked(url) == shown


def test_the_parameters_that_are_no_secret_are_shown_by_who_knows_them() -> None:
    with pytest.raises(StoreError, match=r"label=a&pin=\*\*\*"):
        ServerConfig.from_url("server://?label=a&pin=12#")


def test_a_configuration_prints_no_secret_however_it_is_shown() -> None:
    made: Any = ServerConfig(pin=271828)
    assert "271828" not in f"{made} {made!r} {made.url}"
