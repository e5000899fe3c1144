"""Room for a database: how large its map may become, and the reserve that deletes may use."""

from __future__ import annotations

from collections.abc import Callable

import lmdb

from holdfast.contract.errors import StorageFull
from holdfast.contract.memory import is_left, limited, no_memory
from holdfast.engines.lmdb.config import MAP_MIN, LmdbConfig
from holdfast.engines.lmdb.failures import found_no_room, full, translate
from holdfast.engines.lmdb.place import Place, file_bytes_max

#: Map sizes are multiples of the pages of every machine.
MAP_STEP = 64 * 1024


class Room:
    """Makes room for writes of one environment.

    Args:
        config: its limits.
        place: its directory.
        env: the environment as it is now.
        remap: sets the size of the map, a multiple of `MAP_STEP`.
    """

    def __init__(
        self,
        config: LmdbConfig,
        place: Place,
        env: Callable[[], lmdb.Environment],
        remap: Callable[[int], None],
    ) -> None:
        self._place = place
        self._url = config.url
        self._map_size_max = config.map_size_max
        self._reserve_bytes = config.reserve_bytes
        self._env = env
        self._remap = remap
        self._file_bytes_max: int | None = None
        self._reserve_used = False

    def make(self, error: lmdb.Error, written_bytes: int, *, deletes: bool) -> None:
        """Make room for a write that failed, or raise. No write transaction is open.

        Args:
            error: what LMDB said.
            written_bytes: how much the write wanted.
            deletes: whether the write frees more than it takes, so that it may use the reserve.
        """
        if not found_no_room(error, self._place.room_bytes(), written_bytes):
            raise translate(error, self._url) from error
        refusal: StorageFull = full(self._url)
        if isinstance(error, lmdb.MapFullError):
            if not self._grow(deletes=deletes):
                raise refusal from error
        elif not (deletes and self._place.release_ballast()):
            raise refusal from error
        self._reserve_used = deletes

    def set_aside(self) -> None:
        """Have the reserve on the disk, where there is plenty left."""
        self._place.make_ballast(self._reserve_bytes)

    def keep_reserve(self) -> None:
        """After a commit: set aside again what it left of the reserve."""
        if self._reserve_used:
            self._reserve_used = False
            if not self._place.ballast.exists():
                self._place.restore_ballast(self._reserve_bytes)
            if self._map_size() > self.limit():
                self._keep_limit()

    def follow_limit(self) -> None:
        """Follow a change of the largest file that this process may make."""
        if file_bytes_max() != self._file_bytes_max:
            self._keep_limit()

    def limit(self) -> int:
        """How large the map may become, the reserve for deletes not counted."""
        limit = self._map_size_max
        self._file_bytes_max = file_bytes_max()
        if self._file_bytes_max is not None:
            limit = min(limit, self._file_bytes_max - self._reserve_bytes)
        # A limit that no map can have would never be reached, so the reserve would stay unused.
        return limit // MAP_STEP * MAP_STEP

    def left(self) -> int:
        """By how much the file may still grow."""
        env = self._env()
        used = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
        return min(self._place.room_bytes(), self.limit() - used)

    # --- Inside -----------------------------------------------------------------------------

    def _map_size(self) -> int:
        return self._env().info()["map_size"]

    def _grow(self, *, deletes: bool) -> bool:
        limit = self.limit()
        size = self._map_size()
        if size < limit:
            self._enlarge(size, min(size * 2, limit))
        elif deletes and size < limit + self._reserve_bytes:
            self._enlarge(size, (limit + self._reserve_bytes) // MAP_STEP * MAP_STEP)
        else:
            return False
        return True

    def _enlarge(self, size: int, larger: int) -> None:
        if not is_left(larger - size):
            raise no_memory(f"write to {self._url}", lighter="close other things")
        self._remap(larger)

    def follow_growth(self) -> None:
        """Map what another process let the file grow to. Raises QuotaExceeded."""
        if not limited():
            self._remap(0)  # As large as that process has it.
            return
        wanted = self._place.file.stat().st_size * 2 // MAP_STEP * MAP_STEP
        if not is_left(wanted - self._map_size()):
            raise no_memory(f"read {self._url}, which has grown", lighter="close other things")
        self._remap(max(wanted, MAP_MIN))

    def _keep_limit(self) -> None:
        limit = self.limit()
        if self._map_size() > limit:
            self._remap(max(limit, MAP_MIN))  # LMDB keeps it above what is in use.
