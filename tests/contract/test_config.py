"""A URL and a configuration are the same thing; what cannot be read is refused by name."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.contract.config import (
    BYTES_MAX,
    COUNT_MAX,
    MASK,
    SECONDS_MAX,
    ByteSize,
    EngineConfig,
    PathConfig,
    Seconds,
    secret,
)
from holdfast.contract.errors import ConfigInvalid
from holdfast.engines.lmdb.config import LmdbConfig
from holdfast.engines.memory import MemoryConfig
from holdfast.engines.sqlite.config import SqliteConfig


@dataclass(frozen=True, kw_only=True)
class Wide(EngineConfig):
    """A setting of every kind."""

    scheme: ClassVar[str] = "wide"

    size: ByteSize = 1024
    pause: Seconds = 0.5
    count: int = 3
    share: float = 0.25
    eager: bool = False
    mode: Literal["plain", "fancy"] = "plain"
    name: str = ""
    label: str | None = None
    limit: ByteSize | None = None
    folder: Path = Path("files")
    password: str | None = secret()


@dataclass(frozen=True, kw_only=True)
class Placed(PathConfig):
    """A setting at a path."""

    scheme: ClassVar[str] = "placed"

    token: str | None = secret()


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
DURATIONS = st.floats(1e-9, SECONDS_MAX) | st.integers(1, 10**9)
WIDE = st.builds(
    Wide,
    durability=st.sampled_from(["full", "relaxed", "server"]),
    flush_interval=DURATIONS,
    read_only=st.booleans(),
    create=st.booleans(),
    size=st.integers(0, BYTES_MAX),
    pause=DURATIONS,
    count=st.integers(-COUNT_MAX, COUNT_MAX),
    share=FLOATS,
    eager=st.booleans(),
    mode=st.sampled_from(["plain", "fancy"]),
    name=TEXTS,
    label=st.none() | TEXTS,
    limit=st.none() | st.integers(0, BYTES_MAX),
    folder=TEXTS.filter(lambda text: "\0" not in text and text).map(Path),
    password=st.none() | TEXTS,
)
ODD = st.text(alphabet=st.sampled_from("a/.%?#&=+:@;\\ \t\n[]*\U0001f600é"), min_size=1)
PATHS = (ODD | TEXTS).filter(lambda text: "\0" not in text).map(Path)


@pytest.mark.parametrize(
    ("setting", "most"),
    [("count", COUNT_MAX), ("size", BYTES_MAX), ("limit", BYTES_MAX), ("pause", SECONDS_MAX)],
)
def test_a_setting_has_a_most_that_every_driver_can_take(setting: str, most: Any) -> None:
    fits: dict[str, Any] = {setting: most}
    assert getattr(Wide(**fits), setting) == most
    with pytest.raises(ConfigInvalid, match=f"{setting} is .*at most {most:.0f}"):
        Wide(**(fits | {setting: most + 1}))
    with pytest.raises(ConfigInvalid, match=f"{setting} is .*at most {most:.0f}"):
        Wide.from_url(f"wide://?{setting}={most * 2:.0f}")


@given(WIDE)
def test_every_configuration_is_its_url(config: Wide) -> None:
    assert Wide.from_url(config.url_with_secrets) == config


@given(PATHS, st.none() | TEXTS)
def test_every_path_is_its_url(path: Path, token: str | None) -> None:
    config = Placed(path=path, token=token)
    again = Placed.from_url(config.url_with_secrets)
    assert again == config
    assert again.path == path
    assert again.identity == config.identity


@given(st.binary(min_size=1).filter(lambda raw: b"\0" not in raw))
def test_paths_that_are_no_unicode_have_a_url_too(raw: bytes) -> None:
    path = Path(raw.decode("utf-8", "surrogateescape"))
    assert Placed.from_url(Placed(path=path).url).path == path


def test_three_slashes_are_relative_and_four_absolute() -> None:
    assert LmdbConfig.from_url("lmdb:///app.lmdb").path == Path("app.lmdb")
    assert SqliteConfig.from_url("sqlite:////var/lib/app.db").path == Path("/var/lib/app.db")
    assert LmdbConfig(path=Path("app.lmdb")).url == "lmdb:///app.lmdb"
    assert SqliteConfig(path=Path("/var/lib/app.db")).url == "sqlite:////var/lib/app.db"
    assert LmdbConfig.from_url("lmdb:///a%20b%3Fc%23d%25").path == Path("a b?c#d%")
    text: Any = "app"
    assert LmdbConfig(path=text).path == Path("app")


def test_one_path_has_one_identity() -> None:
    here = Path.cwd()
    assert LmdbConfig(path=Path("app")).identity == LmdbConfig(path=here / "x/../app").identity
    assert LmdbConfig(path=Path("app")).identity != SqliteConfig(path=Path("app")).identity
    assert MemoryConfig(name="a").identity == MemoryConfig(name="a").identity
    assert MemoryConfig().identity is None


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0), ("1", 1), ("7B", 7), ("1KB", 1_000), ("1KiB", 1_024), ("2MB", 2_000_000),
        ("64MiB", 64 * 2**20), ("3GB", 3 * 10**9), ("64GiB", 64 * 2**30), ("1TB", 10**12),
        ("1TiB", 2**40), ("5 MiB", 5 * 2**20),
    ],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    config = Wide.from_url(f"wide://?size={text}&limit={text}".replace(" ", "%20"))
    assert (config.size, config.limit) == (size, size)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2", 2.0), ("0.5", 0.5), ("50ms", 0.05), ("2s", 2.0), ("1.5m", 90.0), ("1h", 3600.0),
        ("7d", 604_800.0), ("1e-05", 1e-05), ("1e3", 1000.0),
    ],
)  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    assert Wide.from_url(f"wide://?pause={text}").pause == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["1", "true", "TRUE", "yes", "on"])
def test_true(text: str) -> None:
    assert Wide.from_url(f"wide://?eager={text}").eager is True


@pytest.mark.parametrize("text", ["0", "false", "No", "off"])
def test_false(text: str) -> None:
    assert Wide.from_url(f"wide://?eager={text}").eager is False


@pytest.mark.row("E-052")
@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("size=x", "size"), ("size=-1", "size"), ("size=1.5MiB", "size"), ("size=1XB", "size"),
        ("size=", "size"), ("size=\uff11", "size"), ("limit=x", "limit"), ("pause=x", "pause"),
        ("pause=-1", "pause"), ("pause=nan", "pause"), ("pause=inf", "pause"),
        ("pause=1w", "pause"), ("count=1.0", "count"), ("count=x", "count"),
        ("count=" + "9" * 5000, "count"), ("size=" + "9" * 5000, "size"),
        ("share=x", "share"), ("share=nan", "share"), ("share=inf", "share"),
        ("eager=maybe", "eager"), ("eager=", "eager"), ("mode=other", "mode"),
        ("folder=", "folder"), ("unknown=1", "unknown"), ("sized=1", "sized"),
        ("size=1&size=2", "size"), ("scheme=x", "scheme"), ("flush_interval=0", "flush_interval"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_by_name(query: str, parameter: str) -> None:
    with pytest.raises(ConfigInvalid, match=parameter) as caught:
        Wide.from_url(f"wide://?{query}")
    assert caught.value.parameter == parameter


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", "1"), ("size", 1.5), ("size", True), ("size", None), ("pause", "1s"),
        ("pause", True), ("pause", math.nan), ("pause", math.inf), ("count", 1.0),
        ("count", False), ("share", "0.5"), ("share", math.nan), ("eager", 1), ("eager", "true"),
        ("mode", "other"), ("name", 1), ("name", None), ("label", 1), ("limit", "1"),
        ("folder", "files"), ("durability", "none"), ("read_only", 0), ("flush_interval", 0),
        ("flush_interval", -1.0), ("password", 5),
    ],
)  # fmt: skip
def test_objects_are_checked_like_urls(name: str, value: Any) -> None:
    with pytest.raises(ConfigInvalid, match=name):
        Wide(**{name: value})


@pytest.mark.parametrize(
    "url",
    [
        "lmdb://", "lmdb:///", "lmdb://host/app", "lmdb:///a%00b", "lmdb://[bad/app",
        "lmdb:///app#part", "lmdb:///a\nb", "lmdb:///a\tb",
    ],
)  # fmt: skip
def test_an_address_that_is_no_path_is_refused(url: str) -> None:
    with pytest.raises(ConfigInvalid):
        LmdbConfig.from_url(url)


@pytest.mark.parametrize(
    "url", ["memory://x", "memory:///x", "memory://?name=a#b", "memory://[x", "memory://?na\tme=a"]
)
def test_an_address_where_nothing_belongs_is_refused(url: str) -> None:
    with pytest.raises(ConfigInvalid):
        MemoryConfig.from_url(url)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=8))
def test_secrets_are_never_printed(password: str) -> None:
    config = Wide(password="sec" + password, label="seen")
    for text in (config.url, str(config), repr(config)):
        assert "sec" + password not in text
        assert "seen" in text
    assert config.url.endswith(f"password={MASK}")
    assert Wide.from_url(config.url_with_secrets).password == "sec" + password


def test_defaults_are_left_out_of_the_url() -> None:
    assert Wide().url == "wide://"
    assert (
        LmdbConfig(path=Path("app"), durability="relaxed").url == "lmdb:///app?durability=relaxed"
    )


def test_a_configuration_cannot_be_changed() -> None:
    config: Any = Wide()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.size = 1
