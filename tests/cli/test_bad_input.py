"""Bad input on the command line: one line that names what was wanted, and advice that helps."""

import json
from pathlib import Path

import pytest

import holdfast.sync
from tests.cli.conftest import Cli

DIGITS = "9" * 400


@pytest.mark.parametrize(
    "arguments",
    [
        ("set", "a", "1", "--ttl", DIGITS),
        ("logs", "--since", DIGITS),
        ("logs", "--slower-than", DIGITS),
        ("get", "a", "--at", DIGITS),
        ("get", "a", "--at", "0001-01-01"),
        ("watch", "--since", DIGITS, "--limit", "1"),
        ("set", "a", DIGITS),
        ("set", "a", "1", "--modified-by", DIGITS * 4),
        ("get", "\udcff"),
        ("set", "a", "\udcff", "--text"),
        ("keys", "\udcff/#"),
    ],
    ids=lambda one: " ".join(one)[:40].encode("ascii", "backslashreplace").decode(),
)
def test_what_is_out_of_range_is_named_and_nothing_is_written(
    cli: Cli, url: str, arguments: tuple[str, ...]
) -> None:
    cli("set", "a", "1")
    done = cli(*arguments)
    assert done.code in (1, 2), done.err
    assert "unexpected" not in done.err
    assert done.err.count("\n") == 1
    assert len(cli("history", "a", "--json").lines) == 1


@pytest.mark.parametrize(
    "parameters",
    [
        "readers_max=99999999999", "readers_max=-1", "map_size=99999999999999999999",
        "map_size=9223372036854775807", "flush_interval=1e300", "lock_timeout=99999999999999999",
    ],
)  # fmt: skip
def test_a_setting_out_of_range_is_named(cli: Cli, tmp_path: Path, parameters: str) -> None:
    for command in (("set", "a", "1"), ("keys",)):
        done = cli(*command, "--url", f"lmdb:///{tmp_path / 'app'}?{parameters}", "--json")
        assert done.code == 2, done.err
        assert done.error["code"] == "CONFIG_INVALID"
        assert parameters.partition("=")[0] in done.error["message"]
    assert not (tmp_path / "app").exists()


@pytest.mark.parametrize("engine", ["lmdb", "sqlite"])
def test_a_path_that_is_no_unicode_is_a_path(cli: Cli, tmp_path: Path, engine: str) -> None:
    address = f"{engine}:///{tmp_path}/%FF"
    assert cli("set", "a", "1", "--url", address).code == 0
    assert cli("get", "a", "--url", address).out == "1\n"
    assert cli("info", "--url", address).code == 0
    assert json.loads(cli("doctor", "--url", address, "--json").out)["database"]["url"] == address


@pytest.mark.parametrize(
    "command", ["get a", "keys", "history a", "delete a", "info", "check", "export", "watch"]
)
def test_a_database_that_is_not_there_is_told_in_the_words_of_the_command_line(
    cli: Cli, url: str, command: str
) -> None:
    done = cli(*command.split())
    assert done.code == 1
    assert "create=false" not in done.err
    assert "read_only" not in done.err
    assert "holdfast set" in done.err
    assert "--url" in done.err
    assert cli(*command.split(), "--json").error["code"] == "STORE_NOT_FOUND"


def test_who_says_create_false_is_told_of_it(cli: Cli, url: str) -> None:
    done = cli("set", "a", "1", "--url", f"{url}?create=false")
    assert done.code == 1
    assert "create" in done.err


# --- Imports ---------------------------------------------------------------------------------

ROW = b'{"key": "a", "value": 1}\n'


@pytest.mark.parametrize(
    "text", [b"\xef\xbb\xbf" + ROW, b"\xef\xbb\xbf\n" + ROW, b"\xef\xbb\xbf\r\n" + ROW]
)
def test_a_byte_order_mark_is_no_part_of_the_text(cli: Cli, url: str, text: bytes) -> None:
    assert cli("import", "-", stdin=text).code == 0
    assert cli("get", "a").out == "1\n"
    document = b'\xef\xbb\xbf{"b": 2}'
    assert cli("import", "-", "--format", "json", stdin=document).code == 0
    assert cli("get", "b").out == "2\n"


@pytest.mark.parametrize("form", ["lines", "json"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_another_encoding_is_named(cli: Cli, url: str, form: str, encoding: str) -> None:
    text = ROW.decode().encode(encoding)
    done = cli("import", "-", "--format", form, stdin=text)
    assert done.code == 2
    assert "UTF-8" in done.err
    assert encoding.upper() in done.err


@pytest.mark.parametrize(
    ("expires_at", "said"),
    [
        ("2999-01-01T00:00:00", "offset"),
        ("2999-01-01", "offset"),
        ("soon", "ISO 8601"),
        (5, "ISO 8601"),
    ],
)
def test_an_expiry_that_is_no_instant_is_named_as_what_it_is(
    cli: Cli, url: str, expires_at: object, said: str
) -> None:
    row = {"key": "a", "value": 1, "metadata": {"expires_at": expires_at}}
    done = cli("import", "-", "--json", stdin=json.dumps(row))
    assert done.code == 2
    message = done.error["message"]
    assert "line 1" in message
    assert "expires_at" in message
    assert said in message
    assert "$datetime" not in message
    assert "instant" in message


def test_a_database_of_another_program_is_not_called_absent(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "other.db").write_bytes(b"something else" * 1000)
    done = cli("keys", "--url", f"sqlite:///{tmp_path / 'other.db'}")
    assert done.code == 4
    assert "holdfast set" not in done.err
    with pytest.raises(holdfast.StoreError):
        holdfast.sync.open(f"sqlite:///{tmp_path / 'other.db'}").__enter__()


def test_an_address_in_the_wrong_place_shows_no_password(cli: Cli) -> None:
    done = cli("collections", "redis://ada:s3cret@host/0")
    assert done.code == 2
    assert "s3cret" not in done.err
    assert "redis://" in done.err


@pytest.mark.parametrize("command", ["get a", "set a 1", "collections", "info"])
def test_a_path_for_an_address_is_answered_with_the_address(cli: Cli, command: str) -> None:
    done = cli(*command.split(), "--url", "data/app.db")
    assert done.code == 2
    assert "sqlite:///data/app.db" in done.err
    assert "lmdb:///data/app.db" in done.err
    assert "pathlib" not in done.err
