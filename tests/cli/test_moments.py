"""--at: revisions, dates, instants and how long ago."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from holdfast.cli.moments import moment
from holdfast.contract.runtime import ManualClock
from tests.cli.conftest import Cli

NOW = datetime(2026, 3, 15, 10, 30, tzinfo=UTC)


@pytest.fixture(params=["UTC", "Asia/Tokyo", "America/New_York"])
def zone(request: pytest.FixtureRequest) -> Iterator[str]:
    """The time zone of the machine."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield request.param
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(int(NOW.timestamp() * 1000))


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("now", timedelta()), ("2 hours ago", timedelta(hours=2)),
        ("1 hour ago", timedelta(hours=1)),
        ("90m ago", timedelta(minutes=90)), ("30 SECONDS ago", timedelta(seconds=30)),
        ("3 days ago", timedelta(days=3)), (" 2 weeks ago ", timedelta(weeks=2)),
        ("10 min ago", timedelta(minutes=10)),
    ],
)  # fmt: skip
def test_so_long_ago(text: str, before: timedelta, clock: ManualClock, zone: str) -> None:
    assert moment(text, clock) == NOW - before


def test_days_and_times_without_an_offset_are_of_this_machine(
    clock: ManualClock, zone: str
) -> None:
    offset = {"UTC": "+00:00", "Asia/Tokyo": "+09:00", "America/New_York": "-04:00"}[zone]
    local = datetime.fromisoformat
    assert moment("today", clock) == local(f"2026-03-15T00:00{offset}")
    assert moment("yesterday", clock) == local(f"2026-03-14T00:00{offset}")
    assert moment("2026-03-12", clock) == local(f"2026-03-12T00:00{offset}")
    assert moment("2026-03-12 08:05", clock) == local(f"2026-03-12T08:05{offset}")
    assert moment("2026-03-12 08:05:05Z", clock) == local("2026-03-12T08:05:05+00:00")


def test_digits_are_a_revision(clock: ManualClock) -> None:
    assert moment("1200", clock) == 1200


@pytest.mark.parametrize(
    "text",
    [
        "", "soon", "tomorrow", "2 hours", "2 fortnights ago", "-2 hours ago",
        "999999999 weeks ago",
        "2026-13-01", "9" * 5000, "٣ hours ago", "ago",
    ],
)  # fmt: skip
def test_what_means_nothing_is_refused(text: str, clock: ManualClock) -> None:
    with pytest.raises(ValueError, match=r".*"):
        moment(text, clock)


def test_at_reads_them(cli: Cli, url: str) -> None:
    cli("set", "a", "1")
    assert cli("get", "a", "--at", "now").out == "1\n"
    assert cli("get", "a", "--at", "2 hours ago").code == 1
    assert cli("get", "a", "--at", "yesterday").code == 1
    assert cli("get", "a", "--at", "2020-01-01").code == 1
    wrong = cli("get", "a", "--at", "whenever")
    assert wrong.code == 2
    assert "'2 hours ago'" in wrong.err
