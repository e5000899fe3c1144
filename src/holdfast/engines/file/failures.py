"""What the file engine says of a file that holds what nobody wrote."""

from __future__ import annotations

from pathlib import Path

from holdfast.contract.errors import IntegrityFailed


def damaged(path: Path, found: str) -> IntegrityFailed:
    """A file holds what nobody wrote."""
    return IntegrityFailed(
        f"{path} is damaged: {found}. Restore a backup, mend the file with an editor, or run "
        "`holdfast check --repair`, which keeps what is sound and says what it gave up",
        path=str(path.parent),
        log=path.name,
    )
