"""The page on the command line says what the command line does."""

import re

import typer

from holdfast.cli import exits, importing, rows
from holdfast.cli.app import app
from tests.cli.conftest import every_command
from tests.tidy import repository

PAGE = (repository.ROOT / "docs" / "command-line.md").read_text()


def test_it_lists_every_command_and_no_other() -> None:
    groups = "|".join(str(group.name) for group in app.registered_groups)
    listed = re.findall(rf"^\| `((?:(?:{groups}) )?[a-z]+)[^`]*` \| ", PAGE, re.MULTILINE)
    assert sorted(listed) == sorted(every_command())


def test_every_option_it_names_exists() -> None:
    group = typer.main.get_command(app)
    commands = [vars(group)["commands"][name] for name in vars(group)["commands"]]
    commands += [one for group in commands for one in vars(group).get("commands", {}).values()]
    options = {
        option
        for command in (group, *commands)
        for one in command.params
        for option in (*one.opts, *one.secondary_opts)
    } | {"--help"}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", PAGE))
    assert named <= options, named - options


def test_its_exit_codes_are_the_ones_there_are() -> None:
    listed = re.findall(r"^\| (\d) \| (.+) \|$", PAGE, re.MULTILINE)
    assert {int(code): meaning for code, meaning in listed} == exits.MEANINGS


def test_its_limits_are_the_ones_there_are() -> None:
    mebibyte = 1024 * 1024
    for limit in (
        f"a line has at most {rows.LINE_BYTES_MAX // mebibyte} MiB",
        f"a JSON document {rows.DOCUMENT_BYTES_MAX // mebibyte} MiB",
        f"a\nbatch {importing.BATCH_ROWS_MAX:,} rows",
        f"about {importing.BATCH_BYTES_MAX // mebibyte} MiB",
    ):
        assert limit in PAGE
