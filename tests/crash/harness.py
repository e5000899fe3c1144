"""Kill a writer, open what it left, and compare with what it was told.

What a writer said of acknowledged writes is a list of claims. `verify` opens the database and
answers which claims it does not find, after asserting all that holds whatever the durability.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Literal

import holdfast
from tests.crash.writer import BATCH, ENDED

#: The longest that a writer may take until it writes; it takes far less.
START_TIMEOUT_S = 45.0
#: How long a writer lives once it opens the database, or once it writes, at most.
OPENING_S = 0.05
WRITING_S = 0.25

#: The program that writes until it is killed.
WRITER = "tests.crash.writer"

Claim = dict[str, Any]
Phase = Literal["opening", "writing"]


@dataclass
class Life:
    """What one writer said until it was killed.

    Attributes:
        lineage: of the database it wrote; None: it was killed before it had opened it.
        claims: the writes it was told are done, in that order.
        killed_at: on the monotonic clock that claims are stamped with.
    """

    lineage: str | None
    claims: list[Claim]
    killed_at: float

    @property
    def newest(self) -> int:
        """The highest revision it was told."""
        return max((claim.get("revision", 0) for claim in self.claims), default=0)


def environment(more: Mapping[str, str] = {}) -> dict[str, str]:
    """In which other processes find this repository."""
    root = Path(__file__).parents[2]
    return os.environ | {"PYTHONPATH": os.pathsep.join((str(root), str(root / "src")))} | dict(more)


def run_and_kill(
    url: str,
    seed: int,
    *,
    phase: Phase = "writing",
    after_s: float,
    variables: Mapping[str, str] = {},
    program: str = WRITER,
) -> Life:
    """Start a writer and kill it, so long after it opens the database or begins to write.

    Args:
        variables: of its environment.
        program: the writer.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", program, url, str(seed)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(variables),
    )
    assert process.stdout is not None
    said = b""
    try:
        end = time.monotonic() + START_TIMEOUT_S
        lines_before_end = 1 if phase == "opening" else 2
        counting_down = False
        while (left := end - time.monotonic()) > 0:
            if not select.select([process.stdout], [], [], left)[0]:
                break
            said += (more := os.read(process.stdout.fileno(), 1 << 20))
            if not more:
                break  # It ended by itself, which is told below.
            if not counting_down and said.count(b"\n") >= lines_before_end:
                counting_down = True
                end = time.monotonic() + after_s
        killed_at = time.monotonic()
    finally:
        process.kill()
        rest, trouble = process.communicate()
    assert process.returncode == -9, f"the writer failed: {trouble.decode()[-3000:]}"
    assert counting_down, "the writer never began"
    return _life(said + rest, killed_at)


def _life(said: bytes, killed_at: float) -> Life:
    lines = [json.loads(line) for line in said.splitlines()]
    opened = next((line for line in lines if "lineage" in line), None)
    claims = [line for line in lines if "at" in line]
    return Life(opened["lineage"] if opened else None, claims, killed_at)


def end_after(
    url: str, writes: int, variables: Mapping[str, str] = {}, program: str = WRITER
) -> Life:
    """Start a writer that ends right after its last acknowledgement, and closes nothing."""
    done = subprocess.run(
        [sys.executable, "-m", program, url, "0", str(writes)],
        capture_output=True,
        timeout=START_TIMEOUT_S,
        env=environment(variables),
        check=False,
    )
    assert done.returncode == ENDED, f"the writer failed: {done.stderr.decode()[-3000:]}"
    return _life(done.stdout, time.monotonic())


def kill_somewhere(
    url: str, chance: Random, variables: Mapping[str, str] = {}, program: str = WRITER
) -> Life:
    """Start a writer and kill it at a moment by chance, now and then while it opens."""
    seed = chance.randrange(1 << 30)
    if chance.random() < 0.2:
        after_s = chance.random() * OPENING_S
        return run_and_kill(
            url, seed, phase="opening", after_s=after_s, variables=variables, program=program
        )
    after_s = chance.random() * WRITING_S
    return run_and_kill(url, seed, after_s=after_s, variables=variables, program=program)


@dataclass
class Account:
    """Everything that the writers of one database were told, and still has to be there.

    Attributes:
        claims: by the key they are about.
        newest: the highest revision told, by lineage.
    """

    claims: list[Claim] = field(default_factory=list)
    newest: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, life: Life) -> None:
        """Hold the database to what a writer was told."""
        self.claims += life.claims
        if life.lineage is not None:
            self.newest[life.lineage] = max(self.newest[life.lineage], life.newest)


@dataclass
class Found:
    """What `verify` found.

    Attributes:
        lineage: of the database as it was opened.
        missing: the claims that it does not hold.
    """

    lineage: str
    missing: list[Claim]


async def verify(url: str, account: Account) -> Found:
    """Open the database a killed writer left, assert what always holds, look for the claims."""
    async with holdfast.open(url) as db:
        head = db.revision
        lineage = db.cursor.rpartition(".")[0]
        assert await db.check() == [], "what was left does not agree with itself"
        await _assert_no_torn_batch(db)
        found = Found(lineage, await _missing(db, account.claims))
        entry = await db.entries.set("after the crash", head)
        assert entry.revision > max(head, account.newest[lineage]), "a revision was used again"
        account.newest[lineage] = entry.revision
        assert await db.check() == []
    return found


async def _assert_no_torn_batch(db: holdfast.Database) -> None:
    entries = await db.entries.get_many([f"batch:{index}" for index in range(BATCH)])
    assert len(entries) in (0, BATCH), f"{len(entries)} of {BATCH} keys of a batch are there"
    states = {(entry.value, entry.revision) for entry in entries.values()}
    assert len(states) <= 1, "a batch is there in parts"


async def _missing(db: holdfast.Database, claims: list[Claim]) -> list[Claim]:
    """The claims that neither an entry nor its history bears out."""
    keys = {claim["key"] for claim in claims if "key" in claim}
    keys |= {claim["gone"] for claim in claims if "gone" in claim}
    keys |= {key for claim in claims for key in claim.get("together", ())}
    versions: set[tuple[str, int, int, int, str]] = set()
    written: set[tuple[str, int]] = set()
    deleted: set[tuple[str, int, int]] = set()

    def note(key: str, entry: holdfast.Entry[Any]) -> None:
        metadata = entry.metadata
        incarnation, version = metadata.incarnation, metadata.version
        versions.add((key, incarnation, version, metadata.revision, metadata.data_hash))
        written.add((key, metadata.revision))

    for key in keys:
        # The living one first: if it has run out by now, the history has it.
        if (entry := await db.entries.get(key)) is not None:
            note(key, entry)
        async for past in db.entries.history(key):
            note(key, past)
            if past.end_cause == "delete":
                deleted.add((key, past.metadata.incarnation, past.metadata.version))

    def holds(claim: Claim) -> bool:
        if "gone" in claim:
            return (claim["gone"], *claim["place"]) in deleted
        if "together" in claim:
            return all((key, claim["revision"]) in written for key in claim["together"])
        place = (claim["key"], *claim["place"], claim["revision"], claim["digest"])
        return place in versions

    return [claim for claim in claims if not holds(claim)]
