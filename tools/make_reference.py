"""Write the generated documents: the reference, the errors, the engines, the list of how-tos.

    python -m tools.make_reference            write them
    python -m tools.make_reference --check    exit code 1 when one is not what would be written

Everything is read from the living package: signatures, docstrings, the catalogue of errors, the
capabilities of the engines.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import sys
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from holdfast.contract.capability import Capabilities
from holdfast.contract.config import EngineConfig, PathConfig
from holdfast.contract.engine import Engine
from holdfast.contract.errors import ErrorCode, StoreError
from holdfast.contract.errors.facts import Fact, facts_of
from holdfast.runtime.system import system_components
from holdfast.store.registry import engine_class
from tools.configuration_page import configuration_page
from tools.reference_pages import ROOT, module_page
from tools.reference_text import WRITTEN_BY, markdown, summary, table

DOCS = ROOT / "docs"

#: The modules that have a page, in the order of the index.
MODULES = (
    "holdfast",
    "holdfast.sync",
    *(
        f"holdfast.contract.{name}"
        for name in (
            "engine", "batch", "record", "capability", "config", "runtime", "limits", "queues",
            "files", "forks", "memory", "pauses", "layering", "lookup",
            "formats",
        )
    ),
    *(
        f"holdfast.codecs.{name}"
        for name in (
            "text", "typed_json", "extended", "pattern", "keys", "digest", "canonical",
            "serializers", "compression", "header", "envelope", "plain", "typed", "violations",
            "trie",
        )
    ),
    *(
        f"holdfast.layers.{name}"
        for name in (
            "breaker", "cache", "compress", "metrics", "offload", "retry", "time_limit",
        )
    ),
    *(f"holdfast.store.{name}" for name in ("space", "plan", "views", "keyspaces", "layout")),
    "holdfast.store.feed_row",
    "holdfast.store.plain.rows",
    "holdfast.records.services.protocols",
    *(
        f"holdfast.records.decorators.{name}"
        for name in ("base", "validated", "evented", "logged", "cached", "read_only")
    ),
    "holdfast.backups.version_directories",
    "holdfast.state",
    *(
        f"holdfast.state.areas.{name}"
        for name in (
            "kv", "batch", "counter", "claim", "lease", "limiter", "semaphore", "presence", "cache",
            "bloom", "dev", "area",
        )
    ),
    "holdfast.state.events.area",
    "holdfast.state.events.message",
    "holdfast.state.server_sent",
    "holdfast.state.streams.area",
    "holdfast.state.streams.group",
    "holdfast.state.streams.consuming",
    "holdfast.state.adapter",
    "holdfast.state.telemetry",
    *(
        f"holdfast.adapters.{name}"
        for name in (
            "mapping", "key_value", "starlette", "litestar", "django", "dogpile", "zarr", "fsspec",
        )
    ),
    "holdfast.testing",
    *(
        f"holdfast.adapters.{name}"
        for name in (
            "arrow", "frames", "parquet", "csv", "json_lines", "langgraph_checkpoints",
            "langgraph_store", "langchain", "sessions",
        )
    ),
)  # fmt: skip

#: The engines that come with Holdfast, in the order of the table.
ENGINES = ("lmdb", "sqlite", "memory", "file", "rocksdb", "leveldb", "redis", "postgres")

REFERENCE_PROSE = """\
Every public name with its signature, shapes, units and errors. Most programs need the first page
only; the contract and the codecs are for authors of engines, `holdfast.store` is for authors of
views, and services and decorators are for programs that put an entry store together. [The
errors](../errors.md) have a page of their own, and so have [the engines](../engines.md)."""

ERRORS_PROSE = """\
Every error is a class below `StoreError`, to be imported from `holdfast`, with a stable `code`, a
`retryable` flag and the facts of its message in `details`. Those listed with a class are typed
attributes too, such as `error.key`; one that was not stated is None. Catch the class or compare the
code; let no program read the message. [How to handle errors](how-to/errors.md) shows it.

`retryable` says that nothing was written and that doing the work again can succeed: from its
reading on, because a call with a condition that does not hold is decided anew, not repeated."""

ENGINES_PROSE = """\
What each engine can do with its default settings. `db.capabilities` tells it of an open database,
`holdfast engines` on the command line. Every field is a promise that the [contract
suite](../CONTRIBUTING.md#add-an-engine) checks both ways."""

ISOLATION_PROSE = """\
The [levels of transactions](how-to/transactions.md#isolation) promise the same everywhere. An
engine without `snapshots` keeps them in another way: a transaction is of one moment because its
commit checks everything that it has read, whatever the level asks for. So on `redis` and
`postgres`

- `repeatable_read` (`snapshot`) is as strict as `serializable`: a commit is refused (`Conflict`)
  when another caller changed anything that the transaction read, ranges included. It has neither
  write skew nor phantoms;
- a transaction of these levels that only reads is refused as well, where on other engines it ends
  with what was. `get_many` reads several keys of one moment without a transaction;
- a transaction of these levels reads a key once, and has the same of it from then on;
- `read_committed` is what it is elsewhere for each call, but a listing of more than one page
  (`page_rows_max`, `page_bytes_max`) shows each page as of a moment of its own;
- `modify` decides outside of the commit and tries again when the key has changed meanwhile, so
  its function may run more than once (`transacts_once`)."""

SETTINGS_PROSE = """\
Parameters of the URL, such as `lmdb:///app?durability=relaxed&map_size=64GiB`, or fields of the
configuration object. Sizes read `512KiB` and `64GiB`, durations `50ms`, `2s`, `15m`, `1h`.
`lmdb:///app` is a path relative to the working directory, `lmdb:////var/app` an absolute one."""

LIST_BEGINS = "<!-- how-to pages: written by `make reference` -->"
LIST_ENDS = "<!-- end of the how-to pages -->"


# --- The other documents ---------------------------------------------------------------------


def index_page() -> str:
    rows = [
        (f"[`{name}`]({name}.md)", summary(importlib.import_module(name).__doc__))
        for name in MODULES
    ]
    names = table(("module", "what it is"), rows)
    return f"# Reference\n\n{WRITTEN_BY}\n\n{REFERENCE_PROSE}\n\n{names}\n"


def errors_page() -> str:
    """Every error, by the groups of the catalogue."""
    groups = grouped_codes()
    parts = [
        "# Errors",
        WRITTEN_BY,
        ERRORS_PROSE,
    ]
    for group, codes in groups.items():
        parts.append(f"## {group}")
        for one in codes:
            kind = StoreError.by_code[one]
            also = [base.__name__ for base in kind.__bases__ if base is not StoreError]
            also = [name for name in also if name != "Exception"]
            retry = "yes" if kind.retryable else "no"
            facts = f"Class `{kind.__name__}`" + (f", also a `{also[0]}`" if also else "")
            parts.append(f"### `{one}`\n\n{facts}. Retryable: {retry}.\n\n{markdown(kind.__doc__)}")
            declared = facts_of(kind)
            if declared:
                parts.append("\n".join(fact_line(kind, *each) for each in declared.items()))
    return "\n\n".join(parts) + "\n"


def fact_line(kind: type[StoreError], name: str, fact: Fact[Any]) -> str:
    """A fact as an item of a list: its name, its type, its meaning."""
    owner = next(one for one in kind.__mro__ if name in vars(one))
    annotation = inspect.get_annotations(owner)[name].removeprefix("Fact[").removesuffix("]")
    spelled = str(annotation).replace("Standing", "int | tuple[int, int] | str | None")
    return f"- `{name}` (`{spelled}`): {fact.meaning}."


def grouped_codes() -> dict[str, list[ErrorCode]]:
    """The codes under the comments that group them in their source."""
    groups: dict[str, list[ErrorCode]] = {}
    group = ""
    for line in inspect.getsource(ErrorCode).splitlines():
        comment = re.fullmatch(r" {4}# (.+)\.", line)
        assigned = re.match(r" {4}([A-Z_]+) = ", line)
        if comment:
            group = comment[1]
        elif assigned:
            groups.setdefault(group, []).append(ErrorCode[assigned[1]])
    return groups


def engines_page() -> str:
    """What each engine can do in its default configuration, and what it can be told."""
    made = {name: engine(name) for name in ENGINES}
    meanings = attributes_of(Capabilities)
    rows = []
    for one in fields(Capabilities):
        if one.name != "engine":
            facts = (
                value_text(one.name, getattr(made[name].capabilities, one.name)) for name in ENGINES
            )
            rows.append((f"`{one.name}`", *facts, meanings.get(one.name, "")))
    parts = [
        "# Engines",
        WRITTEN_BY,
        ENGINES_PROSE,
        table(("capability", *(page_link(name) for name in ENGINES), "meaning"), rows),
        "## Isolation without snapshots",
        ISOLATION_PROSE,
        "## Settings",
        SETTINGS_PROSE,
    ]
    for name in ENGINES:
        parts.append(f"### `{name}`")
        kind = type(made[name].config)
        told: dict[str, str] = {}
        for owner in reversed(kind.__mro__):
            told |= attributes_of(owner)
        rows = [
            (f"`{one.name}`", setting_text(one), told.get(one.name, "")) for one in fields(kind)
        ]
        parts.append(table(("setting", "default", "meaning"), rows))
    return "\n\n".join(parts) + "\n"


def engine(name: str) -> Engine:
    """An engine as configured by default, not opened."""
    kind = engine_class(name)
    config: EngineConfig
    if issubclass(kind.config_type, PathConfig):
        config = kind.config_type(path=Path("example"))
    else:
        config = kind.config_type()
    return kind(config, system_components())


def attributes_of(owner: type) -> dict[str, str]:
    """What the Attributes section of a class says, by name."""
    said = {}
    item = r"^- ((?:`\w+`(?:, )?)+): (.+)$"
    for names, text in re.findall(item, markdown(owner.__doc__), re.MULTILINE):
        for name in re.findall(r"`(\w+)`", names):
            said[name] = text.replace("|", r"\|")
    return said


def page_link(name: str) -> str:
    return (
        f"[`{name}`](engines/{name}.md)" if (DOCS / f"engines/{name}.md").exists() else f"`{name}`"
    )


def value_text(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if "bytes" in name:
        return size_text(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:g} s" if isinstance(value, float) else str(value)


def setting_text(one: Any) -> str:
    if one.default is MISSING:
        return "required"
    if "ByteSize" in str(one.type):
        return f"`{size_text(one.default)}`"
    return f"`{one.default:g}s`" if "Seconds" in str(one.type) else f"`{one.default}`".lower()


def size_text(size: int) -> str:
    for unit, bytes_ in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size and size % bytes_ == 0:
            return f"{size // bytes_}{unit}"
    return str(size)


def front_page() -> str:
    """docs/index.md with its list of how-to pages as they are now."""
    text = (DOCS / "index.md").read_text()
    before, _, rest = text.partition(LIST_BEGINS)
    _, _, after = rest.partition(LIST_ENDS)
    rows = []
    for page in sorted((DOCS / "how-to").glob("*.md")):
        title, _, body = page.read_text().partition("\n")
        first = re.split(r"(?<=\.)\s", " ".join(body.strip().split("\n\n")[0].split()))[0]
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", first)
        rows.append(
            (f"[{title.lstrip('# ')}](how-to/{page.name})", plain.rstrip(":").replace("|", r"\|"))
        )
    return f"{before}{LIST_BEGINS}\n\n{table(('how to', 'in short'), rows)}\n\n{LIST_ENDS}{after}"


# --- All of them -----------------------------------------------------------------------------


def documents() -> dict[Path, str]:
    """Every generated document: file to text."""
    pages = {DOCS / "reference" / f"{name}.md": module_page(name) for name in MODULES}
    return pages | {
        DOCS / "reference/index.md": index_page(),
        DOCS / "errors.md": errors_page(),
        DOCS / "engines.md": engines_page(),
        DOCS / "configuration.md": configuration_page(),
        DOCS / "index.md": front_page(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the generated documents.")
    parser.add_argument("--check", action="store_true", help="only say whether they are fresh")
    wanted = parser.parse_args()
    pages = documents()
    surplus = set((DOCS / "reference").glob("*.md")) - pages.keys()
    stale = [path for path, text in pages.items() if not path.exists() or path.read_text() != text]
    if wanted.check:
        for path in sorted({*stale, *surplus}):
            print(f"{path.relative_to(ROOT)} is not what its sources say; run `make reference`")
        return 1 if stale or surplus else 0
    for path in stale:
        path.parent.mkdir(exist_ok=True)
        path.write_text(pages[path])
    for path in surplus:
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
