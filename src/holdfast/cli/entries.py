"""Commands on single entries: get, set, delete, keys, history."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Annotated, Any

import typer

from holdfast.cli import completing, exits, opening, options, shown
from holdfast.cli.exits import BadUsage
from holdfast.cli.hints import hint
from holdfast.cli.past import past_table
from holdfast.codecs import typed_json
from holdfast.codecs.pattern import Pattern
from holdfast.codecs.text import StoreKey
from holdfast.contract.errors import InvalidInput, KeyNotFound, StoreError, VersionNotFound
from holdfast.database.handle import Database
from holdfast.records.options import KEEP
from holdfast.store.versions.entry import Entry

#: The most that `-` reads from stdin: a value of that size is refused by every database.
STDIN_BYTES_MAX = 384 * 1024 * 1024
#: How many versions a table shows unless told otherwise.
TABLE_ROWS_MAX = 100


def get(
    key: options.Key,
    url: options.Url = "",
    version: Annotated[
        str | None,
        typer.Option("--version", metavar="N|I.N", help="A past version; I.N of incarnation I."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="WHEN", help="As of a revision, a date, '2 hours ago'."),
    ] = None,
    metadata: Annotated[
        bool, typer.Option("--metadata", "-m", help="Show version, author, digest, ... too.")
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Write a text or bytes value as it is, nothing else.")
    ] = False,
    as_json: options.AsJson = False,
) -> int:
    """Print the value of KEY: as JSON, or with --json together with its metadata."""
    if raw and (as_json or metadata):
        raise BadUsage("--raw writes the value alone; leave out --json and --metadata")
    wanted = options.version_of(version, "--version")
    moment = options.moment_of(at, "--at")

    async def work() -> Entry[Any] | None:
        async with opening.for_reading(url) as db:
            return await db.entries.get(key, version=wanted, at=moment)

    entry = opening.run(work())
    if entry is None:
        return _absent(key, version or at, as_json=as_json)
    if as_json:
        shown.document(shown.entry_document(entry))
    elif raw:
        _write_raw(entry.value)
    else:
        if metadata:
            shown.facts([("key", str(entry.key)), *shown.metadata_facts(entry.metadata)])
        _print_value(entry.value)
    return exits.OK


def set(
    key: options.Key,
    value: Annotated[
        str, typer.Argument(metavar="VALUE", help="JSON; a text with --text; - reads stdin.")
    ],
    url: options.Url = "",
    text: Annotated[bool, typer.Option("--text", help="VALUE is a text, not JSON.")] = False,
    binary: Annotated[bool, typer.Option("--bytes", help="Stdin is stored as bytes.")] = False,
    by: options.By = None,
    comment: options.Comment = None,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="TAG", help="A label; repeat for more. Replaces the tags."),
    ] = None,
    clear_tags: Annotated[bool, typer.Option("--clear-tags", help="Remove the tags.")] = False,
    ttl: Annotated[
        str | None, typer.Option("--ttl", metavar="TIME", help="Expires after 90, 15m, 2h, 7d.")
    ] = None,
    keep_ttl: Annotated[
        bool, typer.Option("--keep-ttl", help="Leave the expiry as it is.")
    ] = False,
    if_absent: Annotated[bool, typer.Option("--if-absent", help="Only if there is none.")] = False,
    if_changed: Annotated[
        bool, typer.Option("--if-changed", help="Do nothing if the value is the same.")
    ] = False,
    if_revision: options.IfRevision = None,
    if_version: options.IfVersion = None,
    if_hash: options.IfHash = None,
    as_json: options.AsJson = False,
) -> int:
    """Write a new version of KEY."""
    if keep_ttl and ttl is not None:
        raise BadUsage("--ttl and --keep-ttl exclude each other; give one")
    if clear_tags and tag:
        raise BadUsage("--tag and --clear-tags exclude each other; --tag replaces all tags")
    content = _read_value(value, text=text, binary=binary)
    lifetime = KEEP if keep_ttl else options.seconds_of(ttl, "--ttl")
    required_version = options.version_of(if_version, "--if-version")

    async def work() -> Entry[Any]:
        async with opening.for_writing(url) as db:
            return await db.entries.set(
                key, content, modified_by=by, comment=comment,
                tags=[] if clear_tags else tag or None, ttl=lifetime, if_absent=if_absent,
                if_changed=if_changed, if_revision=if_revision, if_version=required_version,
                if_hash=if_hash,
            )  # fmt: skip

    shown.written(opening.run(work()), as_json=as_json)
    return exits.OK


def delete(
    key: Annotated[
        str,
        typer.Argument(
            metavar="[KEY]",
            help="namespace/sub:name, or a name in the root.",
            autocompletion=completing.complete_key,
        ),
    ] = "",
    url: options.Url = "",
    matching: Annotated[
        str | None,
        typer.Option(
            "--matching", metavar="PATTERN", help="Every key that matches, in place of KEY."
        ),
    ] = None,
    kind: options.PatternKind = options.Kind.MQTT,
    tag: Annotated[
        str | None, typer.Option("--tag", metavar="TAG", help="Of those, only with the tag.")
    ] = None,
    by: options.By = None,
    comment: options.Comment = None,
    if_revision: options.IfRevision = None,
    if_version: options.IfVersion = None,
    if_hash: options.IfHash = None,
    as_json: options.AsJson = False,
) -> int:
    """Remove KEY, or every key that matches. The versions stay in the history."""
    required_version = options.version_of(if_version, "--if-version")
    if matching is not None or tag is not None:
        if key or if_revision is not None or required_version is not None or if_hash is not None:
            raise BadUsage("--matching and --tag name what goes: leave out KEY and the conditions")
        pattern = options.pattern_of("#" if matching is None else matching, kind)
        return _delete_matching(url, pattern, tag, by, comment, as_json=as_json)
    if not key:
        raise BadUsage("say what to delete: a KEY, or --matching PATTERN, or --tag TAG")

    async def work() -> bool:
        async with opening.for_writing(url, create=False) as db:
            return await db.entries.delete(
                key, modified_by=by, comment=comment, if_revision=if_revision,
                if_version=required_version, if_hash=if_hash,
            )  # fmt: skip

    if not opening.run(work()):
        return _absent(key, None, as_json=as_json)
    if as_json:
        shown.document({"key": str(StoreKey.of(key)), "deleted": True})
    else:
        shown.line(f"{StoreKey.of(key)}  deleted")
    return exits.OK


def _delete_matching(
    url: str,
    pattern: Pattern,
    tag: str | None,
    by: str | None,
    comment: str | None,
    *,
    as_json: bool,
) -> int:
    async def work() -> int:
        async with opening.for_writing(url, create=False) as db:
            deleted = await db.entries.delete_matching(
                pattern, tag=tag, modified_by=by, comment=comment
            )
            if not (deleted or as_json or tag):
                await hint(db, pattern)
            return deleted

    deleted = opening.run(work())
    if as_json:
        shown.document({"deleted": deleted})
    else:
        shown.line(f"{deleted:,} deleted")
    return exits.OK


def keys(
    pattern: options.Patterns = "#",
    url: options.Url = "",
    kind: options.PatternKind = options.Kind.MQTT,
    reverse: Annotated[bool, typer.Option("--reverse", help="Last key first.")] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, metavar="N", help="At most N keys.")
    ] = None,
    after: Annotated[
        str | None, typer.Option("--after", metavar="KEY", help="Begin behind this key.")
    ] = None,
    tag: Annotated[
        str | None, typer.Option("--tag", metavar="TAG", help="Only those that carry the tag.")
    ] = None,
    count: Annotated[bool, typer.Option("--count", help="Print only how many there are.")] = False,
    as_json: options.AsJson = False,
) -> int:
    """Print the keys that match, in key order, one per line."""
    wanted = options.pattern_of(pattern, kind)

    async def work() -> int:
        printed = 0
        async with opening.for_reading(url) as db:
            async for key in _keys(db, wanted, tag, reverse=reverse, limit=limit, after=after):
                if not count:
                    if as_json:
                        shown.document({"key": str(key)})
                    else:
                        shown.line(str(key))
                printed += 1
            if not (printed or as_json or tag):
                await hint(db, wanted)
        return printed

    found = opening.run(work())
    if count:
        if as_json:
            shown.document({"count": found})
        else:
            shown.line(str(found))
    return exits.OK


def history(
    key: options.Key,
    url: options.Url = "",
    reverse: Annotated[bool, typer.Option("--reverse", help="Newest first.")] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, metavar="N", help="At most N versions.")
    ] = None,
    as_json: options.AsJson = False,
) -> int:
    """Print every version of KEY, the living one too, oldest first."""
    kept: list[Entry[Any]] = []
    rows_max = limit if as_json else limit or TABLE_ROWS_MAX

    async def work() -> int:
        found = 0
        async with opening.for_reading(url) as db:
            async for one in _versions(db, key, reverse=reverse, rows_max=rows_max):
                if found == rows_max:
                    if limit is None:
                        shown.note(f"the first {found} versions; --limit or --json shows more")
                    break
                found += 1
                if as_json:
                    shown.document(shown.past_document(one))
                else:
                    kept.append(one)
        return found

    if not opening.run(work()):
        return _absent(key, None, as_json=as_json)
    if not as_json:
        past_table(key, kept, reverse=reverse)
    return exits.OK


async def _keys(
    db: Database, pattern: Pattern, tag: str | None, **part: Any
) -> AsyncIterator[StoreKey]:
    if tag is None:
        async for key in db.entries.keys(pattern, **part):
            yield key
        return
    async for entry in db.entries.find_by_tag(tag, pattern, **part):
        yield entry.key


async def _versions(
    db: Database, key: str, *, reverse: bool, rows_max: int | None
) -> AsyncIterator[Entry[Any]]:
    """The versions in order, the living one too; of the past ones one more than are shown."""
    limit = None if rows_max is None else rows_max + 1
    living = await db.entries.get(key)
    if reverse and living is not None:
        yield living
    async for past in db.entries.history(key, reverse=reverse, limit=limit):
        yield past
    if not reverse and living is not None:
        yield living


def _read_value(value: str, *, text: bool, binary: bool) -> Any:
    if binary and (text or value != "-"):
        raise BadUsage("--bytes stores what stdin holds: give - as VALUE, without --text")
    if value != "-":
        if text:
            return value
        try:
            return typed_json.loads(value)
        except InvalidInput as error:
            raise InvalidInput(
                f"VALUE is JSON; {error}. For a plain text add --text, or write it in JSON quotes"
            ) from error
    content = sys.stdin.buffer.read(STDIN_BYTES_MAX + 1)
    if len(content) > STDIN_BYTES_MAX:
        raise InvalidInput(f"stdin may hold {STDIN_BYTES_MAX} bytes; found more. Split the value")
    if binary:
        return content
    try:
        return content.decode() if text else typed_json.loads(content)
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"--text wanted UTF-8 on stdin; found another byte at {error.start}. "
            "Store it with --bytes"
        ) from error


def _print_value(value: Any) -> None:
    if sys.stdout.isatty():
        from rich.json import JSON

        shown.console().print(JSON(typed_json.dumps(value), indent=2))
    else:
        print(typed_json.dumps(value))


def _write_raw(value: Any) -> None:
    if isinstance(value, str):
        value = value.encode()
    if not isinstance(value, bytes):
        raise BadUsage("--raw writes text and bytes; this value is neither. Leave --raw out")
    sys.stdout.flush()
    sys.stdout.buffer.write(value)


def _absent(key: str, what: str | None, *, as_json: bool) -> int:
    error: StoreError
    if what is None:
        error = KeyNotFound(f"there is no entry {key!r}; `holdfast keys` lists those there are")
    else:
        error = VersionNotFound(f"there is no entry {key!r} at {what}; see `holdfast history`")
    return exits.report(error.within(key=key), as_json=as_json)
