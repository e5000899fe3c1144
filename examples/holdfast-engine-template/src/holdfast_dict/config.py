"""The settings of `dict://`: one field each, read from the URL by its type."""

from dataclasses import dataclass
from typing import ClassVar

from holdfast.contract.config import EngineConfig
from holdfast.contract.errors import ConfigInvalid

PAGE_ROWS_MAX = 1_000


@dataclass(frozen=True, kw_only=True)
class DictConfig(EngineConfig):
    """Settings of `dict://`.

    Attributes:
        page_rows: how many rows a page of a scan has at most.
    """

    scheme: ClassVar[str] = "dict"

    page_rows: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.page_rows <= PAGE_ROWS_MAX:
            raise ConfigInvalid(
                f"page_rows is a number from 1 to {PAGE_ROWS_MAX}; found {self.page_rows}",
                parameter="page_rows",
            )

    @property
    def identity(self) -> str | None:
        """Each handle has a database of its own."""
        return None
