"""The engine: what is left to do once `EmbeddedEngine` checks, groups, waits and guards."""

from collections.abc import Iterator, Sequence

from holdfast.contract.capability import Capabilities, Io
from holdfast.contract.engine import Snapshot
from holdfast.contract.errors import StoreNotFound
from holdfast.contract.record import Page, Range, Record
from holdfast.engines.embedded.engine import EmbeddedEngine
from holdfast.engines.embedded.group import Pending, Writer
from holdfast_dict.config import DictConfig


class DictEngine(EmbeddedEngine):
    """Records in a dict, replaced as a whole by each commit."""

    config_type = DictConfig

    _lineage = ""

    @property
    def capabilities(self) -> Capabilities:
        config = self.config
        assert isinstance(config, DictConfig)
        return Capabilities(
            engine="dict", io=Io.BLOCKING, persistent=False, shared=False, transacts_once=True,
            waits=True, page_rows_max=config.page_rows,
        )  # fmt: skip

    @property
    def lineage(self) -> str:
        return self._lineage

    async def open(self) -> None:
        if self.config.read_only:
            raise StoreNotFound("a dict begins empty: there is nothing to only read")
        if self._lineage:
            raise self._refuse()
        self.rows: dict[bytes, Record] = {}
        self.ids: dict[bytes, int] = {}
        self.newest = 0
        self._lineage = self.components.ids.new().hex()
        self._opened()

    async def close(self) -> None:
        self._retire()

    async def head(self) -> int:
        self._require_open()
        return self.newest

    async def read(
        self, keys: Sequence[bytes], *, at: Snapshot | None = None
    ) -> list[Record | None]:
        self._require_open()
        return list(map(self.rows.get, keys))

    async def scan(self, range: Range, *, at: Snapshot | None = None) -> Page:
        self._require_open()
        rows, revision = self.rows, self.newest
        wanted = range.rows_wanted(self.capabilities.page_rows_max)
        bytes_left = self.capabilities.page_bytes_max
        found: list[tuple[bytes, Record]] = []
        for key in sorted((key for key in rows if key in range), reverse=range.reverse):
            if len(found) == wanted or (found and bytes_left <= 0):
                return Page(found, range.after(found[-1][0]), revision)
            found.append((key, rows[key]))
            bytes_left -= len(key) + len(rows[key].value)
        return Page(found, None, revision)

    def _begin(self) -> Writer:
        return DictWriter(self)

    def _head_now(self) -> int:
        return self.newest

    def _require_open(self) -> None:
        if self._refusal is not None:
            raise self._refuse()


class DictWriter(Writer):
    """One transaction: it works on a copy, which `finish` puts in the place of the rows."""

    def __init__(self, engine: DictEngine) -> None:
        self.engine = engine
        self.head = engine.newest
        self.rows, self.ids = dict(engine.rows), dict(engine.ids)

    def read(self, key: bytes) -> Record | None:
        return self.rows.get(key)

    def walk(self, range: Range) -> Iterator[tuple[bytes, Record]]:
        return ((key, self.rows[key]) for key in sorted(self.rows) if key in range)

    def apply(self, rows: Sequence[tuple[bytes, Pending]]) -> None:
        for key, (value, revision) in rows:
            if value is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = Record(value, revision)

    def recall(self, id: bytes) -> int | None:
        return self.ids.get(id)

    def remember(self, id: bytes, revision: int) -> None:
        self.ids[id] = revision

    def finish(self, head: int) -> None:
        engine = self.engine
        engine.rows, engine.ids, engine.newest = self.rows, self.ids, head

    def abandon(self) -> None:
        """Nothing to undo: the engine still holds its own dict."""
