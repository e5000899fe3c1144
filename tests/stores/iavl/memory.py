"""Rows in a dict, with batches that happen at once."""

from __future__ import annotations

from holdfast.stores.iavl import IavlTree, RowBatch, Step


class MemoryRows:
    """Sorted when asked; counts reads."""

    def __init__(self, rows: dict[bytes, bytes] | None = None) -> None:
        self.rows = {} if rows is None else rows
        self.reads = 0

    def get(self, key: bytes) -> bytes | None:
        self.reads += 1
        return self.rows.get(key)

    def both(self, first: bytes, second: bytes) -> tuple[bytes | None, bytes | None]:
        return self.get(first), self.get(second)

    def write(self, batch: RowBatch) -> None:
        for start, end in batch.ranges:
            for key in [key for key in self.rows if start <= key < end]:
                del self.rows[key]
        for key in batch.deletes:
            self.rows.pop(key, None)
        self.rows.update(batch.puts)

    def commit(self, tree: IavlTree, step: Step) -> Step:
        self.write(step.batch)
        tree.adopt(step)
        return step

    def save(self, tree: IavlTree) -> Step:
        return self.commit(tree, tree.save_version())

    def prune(self, tree: IavlTree, to: int) -> None:
        for step in tree.prune(to):
            self.commit(tree, step)
