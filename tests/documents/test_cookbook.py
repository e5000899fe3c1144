"""The rows of the cookbook: each does what its last column says."""

import inspect
import re
from typing import Any

import pytest

import holdfast
from holdfast.documents.aggregate import avg, count_, sum_
from holdfast.documents.query import F
from tests.tidy import repository

PAGE = (repository.ROOT / "docs" / "how-to" / "cookbook.md").read_text()
ROW = re.compile(r"^\| `(.+?)` \| `(users\..+?)` \| (\S+) \|$", re.MULTILINE)
#: So many rows there are at least of each of the three.
ROWS_MIN = 8


def given(found: Any) -> str:
    """What the last column says of a result."""
    if found is None or isinstance(found, bool | int):
        return str(found)
    if isinstance(found, list | dict | str):
        return str(len(found))
    return type(found).__name__


@pytest.mark.row("I-116")
def test_the_rationale_explains_the_four_decisions() -> None:
    text = (repository.ROOT / "docs" / "rationale.md").read_text()
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == [
        "Why progressive interfaces?",
        "Why async iterators?",
        "Why generic types?",
        "Why an event system?",
    ]
    for section in text.split("\n## ")[1:]:
        assert "The price:" in section


async def test_every_row_gives_what_it_says() -> None:
    setup = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[0]
    documents = eval(setup.partition("set_many(")[2].rpartition(")")[0].strip())
    for part in PAGE.split("\n## ")[1:]:
        rows = ROW.findall(part)
        table = [line for line in part.splitlines() if line.startswith("| `")]
        assert len(rows) == len(table) >= ROWS_MIN, part[:40]
    async with holdfast.open("memory://", housekeeping=False) as db:
        users = db.collection("users")
        await users.set_many(documents)
        names = {"users": users, "F": F, "avg": avg, "count_": count_, "sum_": sum_}
        wrong = []
        for _, call, said in ROW.findall(PAGE):
            result = eval(call.replace("\\|", "|"), names)
            if inspect.isawaitable(result):
                result = await result
            if given(result) != said:
                wrong.append((call, said, given(result)))
        assert not wrong
