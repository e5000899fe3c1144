"""The rules of tests/conftest.py, tried on small suites of their own."""

import json
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"
MARKERS = f"""
[pytest]
pythonpath = {CONFTEST.parents[1]}
markers =
    row(identifier): a requirement row
    platform(reason): may be skipped
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest(CONFTEST.read_text())
    pytester.makeini(MARKERS)
    return pytester


@pytest.mark.row("trap 55")
@pytest.mark.parametrize(
    "body",
    [
        "def test_it():\n    pytest.skip('no server')",
        "@pytest.mark.skip(reason='later')\ndef test_it():\n    pass",
        "@pytest.mark.xfail\ndef test_it():\n    raise ValueError",
        "@pytest.fixture\ndef server():\n    pytest.skip('none')\ndef test_it(server):\n    pass",
        "pytest.importorskip('a_module_that_is_not_there')",
    ],
    ids=["call", "mark", "xfail", "fixture", "module"],
)
def test_a_skip_fails_the_run(suite: pytest.Pytester, body: str) -> None:
    suite.makepyfile(f"import pytest\n{body}\n")
    result = suite.runpytest_subprocess("-p", "no:randomly", "-n", "0")
    assert result.ret != pytest.ExitCode.OK
    assert "what is not tested is not promised" in result.stdout.str()
    outcomes = result.parseoutcomes()
    assert outcomes.get("failed", 0) + outcomes.get("errors", 0) == 1, outcomes


@pytest.mark.row("trap 55")
def test_a_platform_reason_may_skip_and_is_printed(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        "import pytest\n@pytest.mark.platform('no fork here')\n"
        "def test_it():\n    pytest.skip('no fork here')\n"
    )
    result = suite.runpytest_subprocess("-ra", "-p", "no:randomly", "-n", "0")
    assert result.ret == pytest.ExitCode.OK
    assert "no fork here" in result.stdout.str()


@pytest.mark.row("trap 55")
def test_a_server_that_is_left_out_skips_what_wants_it_and_is_printed(
    suite: pytest.Pytester,
) -> None:
    suite.makepyfile(
        "import pytest\n"
        "class LeftOut(Exception):\n    left_out = 'without the server, as was said'\n"
        "@pytest.fixture(scope='session')\ndef server():\n    raise LeftOut\n"
        "def test_first(server): pass\n"
        "def test_second(server): pass\n"
        "def test_by_itself():\n    raise LeftOut\n"
        "def test_without(): pass\n"
    )
    result = suite.runpytest_subprocess("-ra", "-p", "no:randomly", "-n", "0")
    assert result.ret == pytest.ExitCode.OK
    result.assert_outcomes(skipped=3, passed=1)
    assert "without the server, as was said" in result.stdout.str()


@pytest.mark.parametrize("workers", ["0", "2"])
def test_rows_and_outcomes_are_reported_from_every_worker(
    suite: pytest.Pytester, workers: str
) -> None:
    suite.makepyfile(
        "import pytest\n"
        "@pytest.mark.row('K-001')\n@pytest.mark.row('trap 2')\ndef test_good(): pass\n"
        "@pytest.mark.row('K-002')\ndef test_bad(): assert False\n"
        "@pytest.fixture\ndef leaky():\n    yield\n    raise ValueError\n"
        "@pytest.mark.row('K-003')\ndef test_leaky(leaky): pass\n"
        "def test_unmarked(): pass\n"
    )
    suite.runpytest_subprocess("-n", workers, "--rows-report=build/rows.json")
    tests = json.loads((suite.path / "build/rows.json").read_text())["tests"]
    results = {name.split("::")[1]: (test["rows"], test["outcome"]) for name, test in tests.items()}
    assert results == {
        "test_good": (["K-001", "trap 2"], "passed"),
        "test_bad": (["K-002"], "failed"),
        "test_leaky": (["K-003"], "failed"),
    }
