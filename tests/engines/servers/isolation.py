"""What isolation levels allow on engines without snapshots: never more, and at times less.

There a strong transaction keeps its one moment by checking at its commit all that it has read. So
it is refused where one with a snapshot would go on with what was.

An engine imports all of it beside a fixture `config_of` that makes its configurations.
"""

from __future__ import annotations

import asyncio
from typing import get_args

import pytest

import holdfast
from holdfast.contract.errors import Conflict
from holdfast.store.isolation import IsolationName
from tests.database.test_isolation import ANOMALIES
from tests.engines.servers.whole_database import ConfigOf

#: Of levels with two names the second stands in the long run.
STRONG = ("repeatable_read", "serializable", pytest.param("snapshot", marks=pytest.mark.torture))
WEAK = ("read_committed", pytest.param("read_uncommitted", marks=pytest.mark.torture))
#: Nothing to refuse: there is never anything to be seen.
NEVER = ("dirty read (G1b)", "aborted read (G1a)")


def test_every_level_is_asked_for() -> None:
    names = (one if isinstance(one, str) else one.values[0] for one in (*STRONG, *WEAK))
    assert {*names} == {*get_args(IsolationName)}


@pytest.mark.row("E-029")
@pytest.mark.parametrize("level", STRONG)
def test_a_strong_transaction_is_refused_whenever_what_it_read_has_changed(
    config_of: ConfigOf, level: IsolationName
) -> None:
    async def work() -> None:
        for number, (anomaly, (play, _)) in enumerate(ANOMALIES.items()):
            async with holdfast.open(config_of(f"{level}-{number}").url_with_secrets) as db:
                try:
                    outcome = await play(db, level)
                except Conflict:
                    outcome = "refused"
                assert outcome == ("prevented" if anomaly in NEVER else "refused"), anomaly

    asyncio.run(work())


@pytest.mark.parametrize("level", WEAK)
def test_a_weak_one_is_what_it_is_elsewhere(config_of: ConfigOf, level: IsolationName) -> None:
    async def work() -> None:
        for number, (anomaly, (play, outcomes)) in enumerate(ANOMALIES.items()):
            async with holdfast.open(config_of(f"{level}-{number}").url_with_secrets) as db:
                assert await play(db, level) == outcomes[0], anomaly

    asyncio.run(work())
