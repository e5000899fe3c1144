"""The page of the manual runs."""

from pathlib import Path

import pytest

from tests.tidy import repository
from tests.tidy.test_documents import Page


@pytest.mark.row("D-009", "D-134", "D-100")
def test_the_page_runs_and_says_what_this_is_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = repository.ROOT / "docs/how-to/state.md"
    assert Page(path).run() == 12
    text = path.read_text()
    assert "state that comes and goes" in text
    assert "belongs into a database" in text
