"""What holds for every test: nothing is skipped silently, and marked rows leave a record.

- A skip or an expected failure counts as a failure, unless the test carries
  `@pytest.mark.platform("reason")`, or wants a server that `HOLDFAST_WITHOUT` names.
- `--rows-report FILE` writes which requirement rows the run proved, for `tools/rows.py`.
- Hypothesis repeats the same examples each run; `HOLDFAST_HYPOTHESIS=explore` looks for new ones.
"""

import gc
import json
import os
import signal
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest

from tests import needs

hypothesis.settings.register_profile("repeat", deadline=None, derandomize=True)
hypothesis.settings.register_profile(
    "explore", deadline=None, max_examples=1_000, stateful_step_count=100, print_blob=True
)
hypothesis.settings.load_profile(os.environ.get("HOLDFAST_HYPOTHESIS", "repeat"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rows-report", metavar="FILE", help="write requirement rows and their results as JSON"
    )


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # As in the background of a shell. Tests interrupt, and programs they start inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    path = config.getoption("rows_report")
    # Reports of xdist's workers arrive at the controller, so only that one writes.
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(RowsReport(Path(path)), "rows-report")


# Modules that import the driver cannot even be collected without it.
collect_ignore = [] if needs.LEVELDB else ["engines/leveldb", "engines/test_contract_leveldb.py"]


def pytest_report_header() -> list[str]:
    names = ", ".join(collect_ignore)
    return [f"without plyvel, LevelDB's driver: {names} and each case on leveldb"] if names else []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not needs.LEVELDB and _on_leveldb(item):
            for why in needs.on_leveldb:
                item.add_marker(why)
        for mark in item.iter_markers("row"):
            # User properties travel with each report, from the workers of xdist too.
            item.user_properties.extend(("row", row) for row in mark.args)


def _on_leveldb(item: pytest.Item) -> bool:
    """Whether a case says, by name or by the engine of a mode, that it is on LevelDB."""
    case = getattr(item, "callspec", None)
    values = () if case is None else case.params.values()
    names = (getattr(value, "engine", value) for value in values)
    return any(isinstance(name, str) and name.startswith("leveldb") for name in names)


def pytest_collection_finish() -> None:
    # Thousands of tests and the libraries that they import stay for the whole run. Frozen, they are
    # looked at by no later collection, of which tests ask many.
    gc.collect()
    gc.freeze()


class RowsReport:
    """Collects `row` marks and outcomes, and writes them when the run ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tests: dict[str, dict[str, object]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        rows = sorted({str(value) for name, value in report.user_properties if name == "row"})
        if not rows:
            return
        test = self.tests.setdefault(
            report.nodeid, {"rows": rows, "outcome": "unfinished", "seconds": 0.0}
        )
        test["seconds"] = round(float(str(test["seconds"])) + report.duration, 3)
        if report.outcome != "passed":
            test["outcome"] = report.outcome
        elif report.when == "teardown" and test["outcome"] == "unfinished":
            test["outcome"] = "passed"

    def pytest_sessionfinish(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps({"tests": self.tests}, indent=1, sort_keys=True) + "\n")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    left_out = getattr(call.excinfo.value, "left_out", None) if call.excinfo else None
    if left_out is not None:
        report.outcome = "skipped"
        report.longrepr = (str(item.path), (item.location[1] or 0) + 1, f"Skipped: {left_out}")
        return report
    if report.outcome == "skipped" and item.get_closest_marker("platform") is None:
        report.outcome = "failed"
        report.longrepr = _refusal(report.longrepr)
        # An expected failure would otherwise still be counted as one.
        vars(report).pop("wasxfail", None)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.outcome == "skipped":
        report.outcome = "failed"
        report.longrepr = _refusal(report.longrepr)
    return report


def _refusal(reason: object) -> str:
    said = reason[2] if isinstance(reason, tuple) else reason
    return (
        f"This test did not run to its end ({said}), and what is not tested is not promised.\n"
        "Provide what it needs, or mark it @pytest.mark.platform('why this platform cannot')."
    )
