"""The scripts, one line broken at a time: the contract suite sees each."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from holdfast.contract.batch import Batch, Put
from holdfast.contract.config import EngineConfig
from holdfast.engines.redis import RedisEngine, scripts, transport
from holdfast.engines.redis.scripts import Script
from holdfast.testing import Section, promises_of
from holdfast.testing.contract.batches import Batches
from holdfast.testing.contract.checks import Checks
from holdfast.testing.contract.concurrency import Concurrency
from holdfast.testing.contract.maintenance import Maintenance
from holdfast.testing.contract.pages import Pages
from holdfast.testing.contract.revisions import Revisions
from holdfast.testing.contract.scans import Scans
from holdfast.testing.contract.transactions import Transactions
from tests.engines.redis.scene import opened, redis_config, run

BREAKAGES = [
    ("commit", "if count ~= expected then", "if false then"),
    ("commit", "if revision > at_revision then", "if false then"),
    ("commit", "if at_revision >= head then", "if true then"),
    ("commit", "if at_revision >= head then", "if at_revision >= head - 1 then"),
    ("commit", "from = '(' .. keys[#keys]", "break"),
    ("commit", "return found == expected, found", "return found ~= '', found"),
    ("commit", "if not fits then", "if not fits and number == 1 then"),
    ("commit", "  if known then", "  if false then"),
    ("commit", "appends = appends + 1", "appends = appends"),
    ("commit", "first .. stamp .. struct.pack('>I4', appends)", "first .. stamp"),
    ("commit", "redis.call('ZREM', order, first)", "redis.call('EXISTS', order)"),
    ("commit", "redis.call('HDEL', records, first)", "redis.call('EXISTS', order)"),
    ("commit", "redis.call('HDEL', records, unpack(keys))", "redis.call('EXISTS', order)"),
    ("commit", "redis.call('ZADD', order, 0, key)", "redis.call('EXISTS', order)"),
    (
        "commit",
        "if #keys == 0 then break end\n      redis",
        "if first == '-' then break end\n      redis",
    ),
    ("commit", "if at > #ARGV then return {'done', head} end", ""),
    ("commit", "and not seen[key]", "and seen[key] == nil and #reply < 4"),
    ("commit", "run ~= ARGV[8] or begun ~= ARGV[7]", "false"),
    ("commit", "local revision = head + 1", "local revision = math.max(head, 1)"),
    ("scan", "if ARGV[3] == '1' then", "if false then"),
    ("scan", "if #page > 2 and bytes > bytes_max then", "if bytes > bytes_max then"),
    ("scan", "if #page > 2 and bytes > bytes_max then", "if false then"),
    ("scan", "#keys == rows_max and '1' or '0'", "'0'"),
    ("load", "head = next_revision - 1", "head = next_revision"),
    ("load", "head = math.max(head, (struct.unpack('>I8', ARGV[at + 1])))", ""),
]  # fmt: skip


class Redis(Section):
    engine_type = RedisEngine
    model_examples = 5

    def make_config(self, folder: Path) -> EngineConfig:
        return redis_config(folder)


class Commit(Redis, Checks, Batches, Revisions, Scans, Transactions, Concurrency):
    """What the script of commits has to do with."""


class Scan(Redis, Pages, Scans):
    """What that of pages has."""


class Load(Redis, Maintenance):
    """What that of loading has."""


SECTIONS: dict[str, type[Section]] = {"commit": Commit, "scan": Scan, "load": Load}


@pytest.mark.parametrize(("name", "was", "becomes"), BREAKAGES)
def test_a_broken_script_is_caught(
    name: str, was: str, becomes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = scripts.script(name).source
    assert source.count(was) == 1, f"the line is no longer in {name}.lua"
    source = source.replace(was, becomes)
    broken = Script(source, hashlib.sha1(source.encode()).hexdigest())
    monkeypatch.setattr(
        transport, "script", lambda one: broken if one == name else scripts.script(one)
    )
    assert _caught(SECTIONS[name](), tmp_path), f"no promise sees {was!r} become {becomes!r}"


@pytest.mark.parametrize("sections", SECTIONS.values())
def test_whole_scripts_pass(sections: type[Section], tmp_path: Path) -> None:
    assert not _caught(sections(), tmp_path)


def test_more_keys_than_one_command_holds_are_read_in_their_order(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(redis_config(tmp_path)) as engine:
            keys = [b"k%d" % number for number in range(1_234)]
            await engine.commit(Batch([Put(key, key) for key in keys[::2]]))
            asked = [*reversed(keys), *keys]
            found = await engine.read(asked)
            assert [record and record.value for record in found] == [
                key if int(key[1:]) % 2 == 0 else None for key in asked
            ]

    run(test)


def _caught(contract: Section, folder: Path) -> bool:
    for name, promise in promises_of(type(contract)).items():
        if "process" in name:
            continue  # They would start ones whose scripts are whole.
        (folder / name).mkdir()
        try:
            promise(contract, folder / name)
        except (Exception, pytest.fail.Exception):
            return True
    return False
