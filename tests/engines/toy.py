"""A whole engine in sixty lines: a dict, copied by every write transaction (E-001)."""

from collections.abc import Iterator, Sequence

from holdfast.contract.capability import Capabilities, Io
from holdfast.contract.errors import StoreNotFound
from holdfast.contract.record import Page, Range, Record
from holdfast.engines.embedded.engine import EmbeddedEngine
from holdfast.engines.embedded.group import Pending, Writer


class ToyWriter(Writer):
    def __init__(self, toy: "ToyEngine") -> None:
        self.toy, self.head, self.rows, self.ids = toy, toy.now[1], dict(toy.now[0]), dict(toy.ids)

    def read(self, key: bytes) -> Record | None:
        return self.rows.get(key)

    def walk(self, range: Range) -> Iterator[tuple[bytes, Record]]:
        return ((key, self.rows[key]) for key in sorted(self.rows) if key in range)

    def apply(self, rows: Sequence[tuple[bytes, Pending]]) -> None:
        self.rows |= {key: Record(value or b"", revision) for key, (value, revision) in rows}
        for key in (key for key, (value, _) in rows if value is None):
            del self.rows[key]

    def recall(self, id: bytes) -> int | None:
        return self.ids.get(id)

    def remember(self, id: bytes, revision: int) -> None:
        self.ids[id] = revision

    def finish(self, head: int) -> None:
        self.toy.ids, self.toy.now = self.ids, (self.rows, head)

    def abandon(self) -> None:
        """Nothing to undo: the engine still holds its own dict."""


class ToyEngine(EmbeddedEngine):
    capabilities = Capabilities(
        engine="toy", io=Io.BLOCKING, persistent=False, shared=False, transacts_once=True,
        waits=True, value_bytes_max=64 * 1024, page_rows_max=50,
    )  # fmt: skip
    lineage = ""

    async def open(self) -> None:
        if self.config.read_only:
            raise StoreNotFound("a toy begins empty: there is nothing to only read")
        if self.lineage:
            raise self._refuse()
        self.now, self.ids = (dict[bytes, Record](), 0), dict[bytes, int]()
        self.lineage = self.components.ids.new().hex()
        self._opened()

    async def close(self) -> None:
        self._retire()

    async def head(self) -> int:
        if self._refusal is not None:
            raise self._refuse()
        return self.now[1]

    async def read(self, keys: Sequence[bytes], *, at: object = None) -> list[Record | None]:
        await self.head()
        return list(map(self.now[0].get, keys))

    async def scan(self, range: Range, *, at: object = None) -> Page:
        await self.head()
        wanted, (rows, revision) = range.rows_wanted(self.capabilities.page_rows_max), self.now
        keys = sorted((key for key in rows if key in range), reverse=range.reverse)
        rest = range.after(keys[wanted - 1]) if len(keys) > wanted else None
        return Page([(key, rows[key]) for key in keys[:wanted]], rest, revision)

    def _begin(self) -> Writer:
        return ToyWriter(self)

    def _head_now(self) -> int:
        return self.now[1]
