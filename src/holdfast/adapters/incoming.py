"""Arrow data on its way into a collection: which types documents have, and every value exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import ModuleType
from typing import Any, Final, Literal, NamedTuple

from holdfast.adapters.columns import MISSING, NULL_METADATA
from holdfast.adapters.files import offload
from holdfast.adapters.requirement import requires
from holdfast.adapters.rows import Writer, blamed
from holdfast.contract.errors import InvalidInput, InvalidKey, InvalidValue, StoreError
from holdfast.documents.collection import Collection

#: What a null becomes.
Nulls = Literal["null", "missing"]

#: What to do about types that documents do not have, by the beginning of their names.
_ADVICE: Final = (
    ("date", "cast it to timestamp('us', 'UTC') or to string"),
    ("time32", "cast it to string"),
    ("time64", "cast it to string"),
    ("timestamp", "give it a time zone: an instant without one could be anywhere"),
    ("duration", "cast it to int64"),
    ("decimal", "cast it to string or float64"),
    ("extension", "take its storage"),
)


async def incoming(
    collection: Collection[Any],
    data: Any,
    key: str | None,
    nulls: Nulls,
    commit_rows: int,
    **options: Any,
) -> int:
    """Write the rows of `data`; how many. See `from_arrow`."""
    with requires("pyarrow>=20"):
        import pyarrow as pa
    arrow: ModuleType = pa
    check_nulls(nulls)
    writer = Writer(collection, commit_rows, **options)
    async with writer:
        with _reader(arrow, data) as reader:
            columns = [_Column.of(arrow, field, nulls) for field in reader.schema]
            _check_names([column.name for column in columns], key)
            # Batch by batch, because it may be read from a file.
            while (batch := await offload(collection, partial(next, reader, None))) is not None:
                for row, weight in _rows(arrow, batch, columns, commit_rows):
                    await _write(writer, columns, row, key, weight)
    return writer.written


class _Column(NamedTuple):
    """A column of the data: its name, the type of its plain values, and what they become."""

    name: str
    plain: Any
    make: Callable[[Any], Any]

    @classmethod
    def of(cls, arrow: ModuleType, field: Any, nulls: Nulls) -> _Column:
        plain = _plain_type(arrow, field.type, field.name)
        return cls(field.name, plain, _maker(arrow, field, nulls))


def _rows(
    arrow: ModuleType, batch: Any, columns: list[_Column], some: int
) -> Iterator[tuple[tuple[Any, ...], int]]:
    """The rows of a batch with about how many bytes each holds; some are plain at a time."""
    weight = batch.get_total_buffer_size() // max(1, batch.num_rows)
    for start in range(0, batch.num_rows, some):
        part = batch.slice(start, some)
        values = [
            _values(arrow, found, column.name, column.plain)
            for found, column in zip(part.columns, columns, strict=True)
        ]
        for row in zip(*values, strict=True):
            yield row, weight


def _reader(arrow: ModuleType, data: Any) -> Any:
    """The record batches of whatever has an Arrow C stream, or is one batch."""
    try:
        if hasattr(data, "__arrow_c_stream__"):
            return arrow.RecordBatchReader.from_stream(data)
        if hasattr(data, "__arrow_c_array__"):
            batch = arrow.record_batch(data)
            return arrow.RecordBatchReader.from_batches(batch.schema, [batch])
    except arrow.ArrowException as error:
        raise InvalidInput(
            f"a table was wanted; found a {type(data).__name__} of something else, such as a "
            "single column"
        ) from error
    raise InvalidInput(
        "Arrow data was wanted, such as a table of pyarrow, pandas or Polars; found a "
        f"{type(data).__name__} without __arrow_c_stream__"
    )


def _check_names(names: list[str], key: str | None) -> None:
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise InvalidInput(f"columns have names of their own; found {min(twice)!r} twice")
    check_key(names, key)


def check_nulls(nulls: Any) -> None:
    """Refuse what is none of `Nulls`. Raises InvalidInput."""
    if nulls not in ("null", "missing"):
        raise InvalidInput(f"nulls is 'null' or 'missing'; found {nulls!r}")


def check_key(names: Sequence[str], key: str | None) -> None:
    """Refuse columns without the one of the keys. Raises InvalidInput."""
    if key is not None and key not in names:
        raise InvalidInput(
            f"a column {key!r} with the keys was wanted; found none. Name it with key=, or give "
            "key=None to have keys made"
        )


async def _write(
    writer: Writer, columns: list[_Column], row: tuple[Any, ...], key: str | None, weight: int
) -> None:
    found = None
    document = {}
    try:
        for (name, _, make), value in zip(columns, row, strict=True):
            if name == key:
                if not isinstance(value, str):
                    raise InvalidKey(
                        f"the key of a document is a str; found a {type(value).__name__} in the "
                        f"column {name!r}. Cast it to string"
                    )
                found = value
                continue
            made = make(value)
            if made is not _LEFT_OUT:
                document[name] = made
        await writer.add(found, document, weight)
    except StoreError as error:
        raise blamed(error, writer.accepted + 1) from error


# --- Types ----------------------------------------------------------------------------------


def _plain_type(arrow: ModuleType, type: Any, path: str) -> Any:
    """The type whose values are plain. Raises InvalidInput where documents have none such."""
    types = arrow.types
    if types.is_dictionary(type):
        plain = _plain_type(arrow, type.value_type, path)
        return type if plain == type.value_type else plain
    if types.is_timestamp(type) and type.tz is not None:
        return arrow.timestamp("us", "UTC")
    if any(one(type) for one in _simple(types)):
        return type
    if types.is_struct(type):
        return arrow.struct(
            [
                type.field(at).with_type(
                    _plain_type(arrow, type.field(at).type, f"{path}.{type.field(at).name}")
                )
                for at in range(type.num_fields)
            ]
        )
    if types.is_list(type) or types.is_large_list(type) or types.is_fixed_size_list(type):
        inner = _plain_type(arrow, type.value_type, f"{path}[]")
        return arrow.large_list(type.value_field.with_type(inner))
    text = str(type)
    advice = next((after for start, after in _ADVICE if text.startswith(start)), "leave it out")
    raise InvalidInput(
        f"documents hold no values of the type {text}; found it in the column {path}: {advice}"
    )


def _simple(types: Any) -> tuple[Callable[[Any], bool], ...]:
    """What tells the types whose values are plain as they are."""
    return (
        types.is_null, types.is_boolean, types.is_integer, types.is_floating, types.is_string,
        types.is_large_string, types.is_string_view, types.is_binary, types.is_large_binary,
        types.is_binary_view, types.is_fixed_size_binary,
    )  # fmt: skip


def _values(arrow: ModuleType, column: Any, name: str, plain: Any) -> list[Any]:
    """The values of a column as plain ones. Raises InvalidValue where that would change one."""
    try:
        if column.type != plain:
            column = column.cast(plain, safe=True)
        values: list[Any] = column.to_pylist()
    except (arrow.ArrowException, ValueError, OverflowError) as error:
        raise InvalidValue(
            f"the column {name!r} of the type {column.type} has values that a document cannot hold "
            "without loss. Round them first, such as instants to microseconds"
        ) from error
    return values


# --- Nulls ----------------------------------------------------------------------------------

_LEFT_OUT: Final = object()


def _maker(arrow: ModuleType, field: Any, nulls: Nulls) -> Any:
    """What makes the plain value of what Arrow gives: a null may be a missing field."""
    missing = nulls == "missing" or (field.metadata or {}).get(NULL_METADATA) == MISSING
    null = _LEFT_OUT if missing else None
    inside = _maker_inside(arrow, field.type, nulls)

    def make(value: Any) -> Any:
        return null if value is None else value if inside is None else inside(value)

    return make


def _maker_inside(arrow: ModuleType, type: Any, nulls: Nulls) -> Any:
    types = arrow.types
    if types.is_struct(type):
        made = [
            (type.field(at).name, _maker(arrow, type.field(at), nulls))
            for at in range(type.num_fields)
        ]

        def fields(value: dict[str, Any]) -> dict[str, Any]:
            several = ((name, make(value[name])) for name, make in made)
            return {name: one for name, one in several if one is not _LEFT_OUT}

        return fields
    if types.is_list(type) or types.is_large_list(type) or types.is_fixed_size_list(type):
        inner = _maker_inside(arrow, type.value_type, nulls)
        if inner is not None:
            return lambda value: [None if one is None else inner(one) for one in value]
    return None
