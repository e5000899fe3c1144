"""The walk behind a rotation or the end of a key: rows are written anew, or removed.

A row that does not open cannot be written anew. The walk leaves it, goes on to its end, and says
then which rows it left. Who asks again after mending them goes on with these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from holdfast.contract.batch import Answer, Batch, Delete, Draft, Operation, Rewrite
from holdfast.contract.errors import DecryptionFailed, StoreLocked
from holdfast.contract.record import Range, Record
from holdfast.layers.encrypt.cipher import new_nonces
from holdfast.layers.encrypt.keeper import ATTEMPTS_MAX, Change
from holdfast.layers.encrypt.layer import EncryptLayer
from holdfast.layers.encrypt.ring import Ring, Rotation
from holdfast.layers.encrypt.rows import Again

#: How many rows, and bytes of them, one commit of the walk writes anew.
STEP_ROWS: Final = 256
STEP_BYTES: Final = 1 << 20
#: After how many rows it is noted how far the walk got: writers then look at the ring once.
NOTED_ROWS: Final = 20_000
#: How many of the rows that a walk had to leave its error names; all of them are counted.
NAMED_ROWS_MAX: Final = 100

#: Called with (rows looked at, rows written anew or removed).
Progress = Callable[[int, int], None]


class Walk:
    """Has no row under the older keys of a name.

    Args:
        layer: of the database.
        rotation: as it stands in the ring.
        progress: see `rotate`.
    """

    def __init__(self, layer: EncryptLayer, rotation: Rotation, progress: Progress | None) -> None:
        ring = layer.rows.ring
        self._layer = layer
        self._rotation = rotation
        self._progress = progress
        self._old = frozenset(
            key.number
            for key in ring.of_name(rotation.name)
            if key.number <= rotation.up_to
            and (key.state == "retired" or rotation.name not in ring.active)
        )
        # Keys that nobody can unwrap: what is under them stays there.
        self._lost: set[int] = set()
        self._cause: DecryptionFailed | None = None
        self._left: list[bytes] = []
        self._left_count = 0
        self._looked_at, self._changed = rotation.looked_at, rotation.changed

    async def run(self) -> tuple[int, int]:
        """(rows looked at, rows changed). Raises DecryptionFailed for what it had to leave."""
        noted = self._looked_at
        # What was left is looked at again: it may have been mended.
        start = self._rotation.left_at or self._rotation.after
        rest: Range | None = Range(start=start or None, limit=STEP_ROWS)
        while rest is not None:
            page = await self._layer.inner.scan(rest)
            await self._page(page.rows)
            self._looked_at += len(page.rows)
            if self._progress is not None:
                self._progress(self._looked_at, self._changed)
            rest = page.resume
            if page.rows and self._looked_at - noted >= NOTED_ROWS:
                noted = self._looked_at
                await self._note(page.rows[-1][0] + b"\0")
        await self._note(None)
        if self._left_count:
            raise self._told() from self._cause
        return self._looked_at, self._changed

    async def _page(self, rows: list[tuple[bytes, Record]]) -> None:
        number_of = self._layer.rows.number_of
        wanted: list[bytes] = []
        size = 0
        for key, (stored, _) in rows:
            number = number_of(key, stored)
            if number not in self._old:
                continue
            if number in self._lost:
                self._leave(key)
                continue
            wanted.append(key)
            size += len(stored)
            if size >= STEP_BYTES:
                await self._step(wanted)
                wanted, size = [], 0
        if wanted:
            await self._step(wanted)

    async def _step(self, keys: list[bytes]) -> None:
        """Write rows anew that are still under old keys, or remove them."""
        layer = self._layer
        changed, left = 0, list[bytes]()

        def decide(records: list[Record | None], _revision: int) -> Answer:
            nonlocal changed, left
            fence = records[0]
            if fence is None or fence.revision != layer.keeper.revision:
                raise Again(stale=True)
            operations, left = self._decided(keys, records[1:])
            changed = len(operations)
            return Batch(operations) if operations else Draft()

        for _ in range(ATTEMPTS_MAX):
            try:
                await layer.inner.transact([layer.places.ring, *keys], decide)
            except Again as again:
                await self._settle(again)
                continue
            self._changed += changed
            for key in left:
                self._leave(key)
            return
        raise StoreLocked("the keys of the database keep changing; try again when others are done")

    def _decided(
        self, keys: list[bytes], records: list[Record | None]
    ) -> tuple[list[Operation], list[bytes]]:
        """(what is to be done, the keys of rows that do not open)."""
        rows, name = self._layer.rows, self._rotation.name
        operations: list[Operation] = []
        left: list[bytes] = []
        nonces = new_nonces()
        for key, record in zip(keys, records, strict=True):
            number = 0 if record is None else rows.number_of(key, record.value)
            if record is None or number not in self._old:
                continue
            if name not in rows.ring.active:
                operations.append(Delete(key))
            elif number in self._lost:
                left.append(key)
            else:
                try:
                    sealed = rows.reseal(key, record.value, record.revision, name, nonces)
                except DecryptionFailed:
                    left.append(key)
                else:
                    operations.append(Rewrite(key, sealed))
        return operations, left

    async def _settle(self, again: Again) -> None:
        """Fetch what a step lacks; an old key that is lost is left with its rows."""
        try:
            await self._layer.keeper.settle(again)
        except DecryptionFailed as error:
            if again.number not in self._old:
                raise
            self._cause = error
            self._lost.add(again.number)

    def _leave(self, key: bytes) -> None:
        self._left_count += 1
        if len(self._left) < NAMED_ROWS_MAX:
            self._left.append(key)

    async def _note(self, after: bytes | None) -> None:
        """Note in the ring how far the walk got; None: to its end."""
        began = self._rotation

        async def noting(ring: Ring) -> Change | None:
            standing = ring.rotation
            if standing is None or (standing.name, standing.up_to) != (began.name, began.up_to):
                return None  # Another process, which did the same, was faster.
            left_at = self._left[0] if self._left else b""
            if after is None and not left_at:
                return (), None
            walked = (after or left_at, self._looked_at, self._changed, left_at, after is None)
            return (), Rotation(began.name, began.up_to, *walked)

        await self._layer.keeper.change(noting)

    def _told(self) -> DecryptionFailed:
        count, name = self._left_count, self._rotation.name
        rows = "1 row does" if count == 1 else f"{count:,} rows do"
        return DecryptionFailed(
            f"the key {name!r} was rotated, and {rows} not open with the older version they are "
            f"under: {'it stays' if count == 1 else 'they stay'} as they are, and all others are "
            "written anew. `check` says what they belong to. Restore a backup, or write that anew, "
            "and rotate again: it goes on with these. `rewrite=False` begins another version "
            "without them",
            name=name,
            rows=tuple(self._left),
            count=count,
        )
