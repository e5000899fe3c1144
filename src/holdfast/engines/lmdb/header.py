"""Looking at a data file before LMDB maps it.

LMDB trusts its file: mapped, a truncated or foreign file ends the process with a signal instead
of an error. So what it is about to trust is read first: the two header pages, the root pages,
and, when the file is shorter than its header says, every page that the trees reach.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import NamedTuple

from holdfast.contract.errors import IntegrityFailed, NotADatabase

_PAGE = struct.Struct("=QHHHH")  # number, padding, flags, lower, upper
_PAGE_BYTES = 16
#: The layout here is that of 64 bits; 32-bit builds of LMDB write another one.
_POINTER_BYTES = 8
_META = struct.Struct("=IIQQ")  # magic, version, address, map size
_TREE = struct.Struct(
    "=IHHQQQQQ"
)  # page size, flags, depth, branches, leaves, overflows, rows, root
_TAIL = struct.Struct("=QQ")  # last page, transaction
_NODE = struct.Struct("=HHHH")  # data size or child (low, high), flags, key size

_MAGIC = 0xBEEFC0DE
_VERSION = 1
_BRANCH, _LEAF, _OVERFLOW, _META_PAGE = 0x01, 0x02, 0x04, 0x08
_BIG_VALUE, _SUBTREE = 0x01, 0x02
_NO_PAGE = 2**64 - 1
#: How often a file is looked at anew that another process changes meanwhile.
_ATTEMPTS_MAX = 16
_META_READ = _PAGE_BYTES + _META.size + 2 * _TREE.size + _TAIL.size
#: Page sizes LMDB uses: the operating system's, in powers of two.
_PAGE_SIZES = frozenset(2**power for power in range(8, 17))


class Header(NamedTuple):
    """The newest header page: which trees there are and how far the file reaches."""

    page_size: int
    roots: tuple[int, int]
    last_page: int
    transaction: int


def examine(path: Path) -> bool:
    """Whether the data file holds something; False when it is still to be created.

    Raises:
        NotADatabase: LMDB did not write it.
        IntegrityFailed: LMDB wrote it and it is damaged.
    """
    if struct.calcsize("P") != _POINTER_BYTES:
        return path.exists() and path.stat().st_size > 0
    try:
        # An object: it is closed even where an interrupt comes right before that.
        file = path.open("rb", buffering=0)
    except FileNotFoundError:
        return False
    with file:
        descriptor = file.fileno()
        if os.fstat(descriptor).st_size == 0:
            return False  # A creation was interrupted before anything was written.
        header = _newest(path, descriptor)
        for attempt in range(_ATTEMPTS_MAX):
            try:
                _walk(path, descriptor, header)
                break
            except IntegrityFailed:
                # Another process may be writing: what the header led to may be in use again.
                before, header = header, _newest(path, descriptor)
                if header.transaction == before.transaction or attempt == _ATTEMPTS_MAX - 1:
                    raise
    return True


def _walk(path: Path, descriptor: int, header: Header) -> None:
    # Asked after the header was read, because a writer writes it last.
    size = os.fstat(descriptor).st_size
    walk = _Walk(path, descriptor, size, header)
    for root in header.roots:
        walk.open_root(root)
    if (header.last_page + 1) * header.page_size > size:
        # Legitimate when the pages at the end were freed before they were ever written.
        walk.everything()


def _newest(path: Path, descriptor: int) -> Header:
    first = _header(path, os.pread(descriptor, _META_READ, 0))
    size = os.fstat(descriptor).st_size
    if size < 2 * first.page_size:
        raise _damaged(path, f"it ends after {size} bytes, within its header")
    second = _header(path, os.pread(descriptor, _META_READ, first.page_size))
    return max(first, second, key=lambda header: header.transaction)


def _header(path: Path, page: bytes) -> Header:
    if len(page) < _META_READ:
        raise _foreign(path)
    flags = _PAGE.unpack_from(page)[2]
    magic, version, _, _ = _META.unpack_from(page, _PAGE_BYTES)
    if magic != _MAGIC or not flags & _META_PAGE:
        raise _foreign(path)
    if version != _VERSION:
        raise NotADatabase(
            f"{path} is an LMDB file of format {version}; this engine writes and reads format "
            f"{_VERSION}. Copy it with the tools of the program that wrote it",
            found=version,
        )
    at = _PAGE_BYTES + _META.size
    free = _TREE.unpack_from(page, at)
    main = _TREE.unpack_from(page, at + _TREE.size)
    last_page, transaction = _TAIL.unpack_from(page, at + 2 * _TREE.size)
    if free[0] not in _PAGE_SIZES:
        raise _damaged(path, f"its header names a page size of {free[0]} bytes")
    return Header(free[0], (free[-1], main[-1]), last_page, transaction)


class _Walk:
    """Reads pages by number, without mapping the file."""

    def __init__(self, path: Path, descriptor: int, size: int, header: Header) -> None:
        self._path = path
        self._descriptor = descriptor
        self._size = size
        self._header = header

    def open_root(self, number: int) -> None:
        if number != _NO_PAGE:
            self._page(number)

    def everything(self) -> None:
        """Visit every page that the trees reach."""
        waiting = [root for root in self._header.roots if root != _NO_PAGE]
        seen = set(waiting)
        while waiting:
            for child in self._children(self._page(waiting.pop())):
                if child in seen:
                    raise _damaged(self._path, f"page {child} is reached twice")
                seen.add(child)
                waiting.append(child)

    def _page(self, number: int) -> bytes:
        page_size = self._header.page_size
        if number > self._header.last_page or (number + 1) * page_size > self._size:
            raise _damaged(self._path, f"page {number} lies behind its end")
        page = os.pread(self._descriptor, page_size, number * page_size)
        found, _, flags, lower, upper = _PAGE.unpack_from(page)
        sound = found == number and flags & (_BRANCH | _LEAF)
        if not sound or not _PAGE_BYTES <= lower <= upper <= page_size:
            raise _damaged(self._path, f"page {number} is no page of a tree")
        return page

    def _children(self, page: bytes) -> list[int]:
        _, _, flags, lower, _ = _PAGE.unpack_from(page)
        children = []
        for (offset,) in struct.iter_unpack("=H", page[_PAGE_BYTES:lower]):
            low, high, marks, key_size = _NODE.unpack_from(page, offset)
            content = offset + _NODE.size + key_size
            if flags & _BRANCH:
                children.append(low | high << 16 | marks << 32)
            elif marks & _SUBTREE:
                root = _TREE.unpack_from(page, content)[-1]
                if root != _NO_PAGE:
                    children.append(root)
            elif marks & _BIG_VALUE:
                self._big_value(struct.unpack_from("=Q", page, content)[0])
        return children

    def _big_value(self, number: int) -> None:
        page_size = self._header.page_size
        head = os.pread(self._descriptor, _PAGE_BYTES, number * page_size)
        if len(head) < _PAGE_BYTES:
            raise _damaged(self._path, f"page {number} lies behind its end")
        found, _, flags, low, high = _PAGE.unpack(head)
        pages = low | high << 16
        if found != number or not flags & _OVERFLOW:
            raise _damaged(self._path, f"page {number} is no page of a value")
        if (number + pages) * page_size > self._size:
            raise _damaged(self._path, f"the value at page {number} reaches behind its end")


def _foreign(path: Path) -> NotADatabase:
    return NotADatabase(f"{path} is no LMDB file; point the URL at another directory")


def _damaged(path: Path, found: str) -> IntegrityFailed:
    return IntegrityFailed(f"{path} is damaged: {found}. Restore a backup")
