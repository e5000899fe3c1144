"""Measure Holdfast beside the raw drivers and beside rivals, and print one Markdown document.

    python -m benchmarks                     everything, at most a quarter of an hour on two cores
    python -m benchmarks --quick             the same with small numbers, to see that it works
    python -m benchmarks --only ycsb scan    some workloads
    python -m benchmarks --only state        state of services, which wants a Redis server
    python -m benchmarks --only engines      other engines beside their drivers, which wants servers

Progress goes to the error stream. Run it alone: whatever else runs is measured, too.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from benchmarks import machine
from benchmarks.catalogue import require_peers
from benchmarks.peers.driver import PeerMissing
from benchmarks.plan import FULL, QUICK, Bench, tell
from benchmarks.report import Section, document
from benchmarks.shim import compile_shim
from benchmarks.workloads import (
    by_hand,
    cold_open,
    counters,
    decorators,
    documents,
    engines,
    events,
    file_growth,
    group_commit,
    headline,
    hot_key,
    scan,
    set_cost,
    state,
    survival,
    validated,
    ycsb,
)

#: A workload takes what every workload is handed and returns its sections. A new one is a module
#: with a NAME and a run, and a line here.
WORKLOADS: dict[str, Callable[[Bench], list[Section]]] = {
    module.NAME: module.run
    for module in (
        headline, by_hand, counters, survival, ycsb, group_commit, hot_key, scan, events,
        cold_open, file_growth, set_cost, validated, decorators, state, documents,
        engines,
    )
}  # fmt: skip

#: Take up to six minutes each, and two want servers: they are run when they are named.
NAMED_ONLY = frozenset((state.NAME, documents.NAME, engines.NAME))

#: The modules of the rivals of workloads that have their own; the others share the catalogue's.
PEERS_OF = {documents.NAME: documents.PEER_MODULES, engines.NAME: engines.PEER_MODULES}

#: Where files live in memory, on systems that have it.
_MEMORY_FOLDER = Path("/dev/shm")
_MEMORY_FREE_BYTES = 6 * 2**30


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    plan = replace(QUICK if options.quick else FULL, seed=options.seed)
    names = options.only or [name for name in WORKLOADS if name not in NAMED_ONLY]
    if not options.without_peers:
        try:
            for name in names:
                require_peers(PEERS_OF.get(name))
        except PeerMissing as missing:
            print(missing, file=sys.stderr)
            return 2
    started = perf_counter()
    with _folders(options.folder) as (folder, memory_folder):
        shim = compile_shim(folder)
        heading = _heading(folder, arguments, quick=options.quick)
        sections = []
        for name in names:
            tell(f"== {name}, {perf_counter() - started:.0f} s")
            with _folder(folder, name) as on_disk, _folder(memory_folder, name) as in_memory:
                assert on_disk is not None
                bench = Bench(plan, on_disk, in_memory, shim, not options.without_peers)
                sections += WORKLOADS[name](bench)
    minutes = (perf_counter() - started) / 60
    text = document(f"{heading}\n- took: {minutes:.1f} minutes", sections)
    if options.out is not None:
        options.out.write_text(text)
    print(text)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="small numbers, under 90 seconds")
    parser.add_argument("--only", nargs="+", choices=list(WORKLOADS), metavar="NAME",
                        help=f"some of: {', '.join(WORKLOADS)}")  # fmt: skip
    parser.add_argument("--seed", type=int, default=FULL.seed, help="of keys and values")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the document there, too")
    parser.add_argument("--folder", type=Path, metavar="FOLDER",
                        help="where databases are made: the disk that is measured")  # fmt: skip
    parser.add_argument("--without-peers", action="store_true", help="leave the rivals out")
    return parser


@contextlib.contextmanager
def _folders(parent: Path | None) -> Iterator[tuple[Path, Path | None]]:
    """A folder on the disk to be measured and one in memory, both removed in the end."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(
            tempfile.TemporaryDirectory(prefix="holdfast-bench-", dir=parent)))  # fmt: skip
        in_memory = None
        if _MEMORY_FOLDER.is_dir() and shutil.disk_usage(_MEMORY_FOLDER).free > _MEMORY_FREE_BYTES:
            in_memory = Path(stack.enter_context(
                tempfile.TemporaryDirectory(prefix="holdfast-bench-", dir=_MEMORY_FOLDER)
            ))  # fmt: skip
        yield folder, in_memory


@contextlib.contextmanager
def _folder(parent: Path | None, name: str) -> Iterator[Path | None]:
    """A folder for one workload, removed after it: a run makes gigabytes."""
    if parent is None:
        yield None
        return
    folder = parent / name
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _heading(folder: Path, arguments: Sequence[str], *, quick: bool) -> str:
    today = datetime.now(UTC).date().isoformat()
    command = shlex.join(["python", "-m", "benchmarks", *arguments])
    lines = [
        f"date: {today}, commit {machine.revision()}",
        f"command: `{command}`",
        *machine.describe(folder),
    ]
    if quick:
        lines.append("**a quick run: too short for its figures to be quoted**")
    return "# Benchmarks\n\n" + "\n".join(f"- {line}" for line in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
