"""The programs of `examples/documents` and `examples/events` run to their end and show this."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tidy import repository

EXAMPLES = repository.ROOT / "examples"
SHOWN = {
    "documents/01_typed.py": "500 without an index",
    "documents/02_unique.py": "1 has it",
    "documents/03_storage_basic.py": """\
{'id': '123', 'name': 'Alice'}
False 2
user:123 Alice
user:124 Bob
{
  "user:123": {
    "id": "123",
    "name": "Alice"
  },
  "user:124": {
    "id": "124",
    "name": "Bob"
  }
}
""",
    "documents/04_storage_query.py": """\
d19 {'author': 'Alice', 'created': 19}
d17 {'author': 'Alice', 'created': 17}
d15 {'author': 'Alice', 'created': 15}
10 of Bob
""",
    "documents/05_storage_transaction.py": """\
{'account:123': {'balance': 50}, 'account:456': {'balance': 100}}
refused: not enough
{'account:123': {'balance': 50}, 'account:456': {'balance': 100}}
""",
    "documents/06_live.py": """\
['ada', 'bob']
removed bob 1 to -1
added cy -1 to 0
['cy', 'ada']
""",
    "documents/07_vectors.py": """\
fox 0.0012
wolf 0.0018
['fox']
fox {'text': 'A red fox <b>runs</b>.'}
wolf {'text': 'Grey wolves <b>run</b>.'}
""",
    "events/monitor.py": """\
{'writes': 5, 'hits': 1, 'misses': 1, 'INVALID_KEY': 1}
measured: 5 keys, all below a second: True
""",
    "events/cache_invalidation.py": "apple: 0.30\napple: 0.45\n",
    "events/audit.py": """\
ada set a None to {'money': 10}
None set b None to {'money': 1}
None delete a {'money': 10} to None
""",
    "events/reactive.py": """\
['Task 0', 'Task 1', 'Task 2']
['Now!', 'Task 2', 'Task 1']
""",
}


@pytest.mark.row("I-113", "I-115")
@pytest.mark.parametrize("name", SHOWN)
def test_it_shows_this(name: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(repository.SOURCE)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert SHOWN[name] in result.stdout
    assert not result.stderr


def test_every_example_is_run() -> None:
    found = {
        str(path.relative_to(EXAMPLES))
        for folder in ("documents", "events")
        for path in (EXAMPLES / folder).glob("*.py")
        if not path.name.startswith("demo_")  # A part of `make demo`.
    }
    assert found == SHOWN.keys()
