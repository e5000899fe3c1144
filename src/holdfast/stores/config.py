"""What a store remembers of itself: it is given once, when the store is made, and never again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, Self

import msgspec

from holdfast.codecs.compression import NONE, Compression, compression_named
from holdfast.contract.errors import ConfigInvalid, FormatTooNew, IntegrityFailed
from holdfast.store.keyspaces import KeyspaceSettings

Kind = Literal["plain", "iavl"]
Format = Literal["raw", "msgpack", "json"]

KINDS: Final = ("plain", "iavl")
FORMATS: Final = ("raw", "msgpack", "json")
#: The highest number a first version can have.
VERSION_MAX: Final = (1 << 62) - 1


def _require_one_of(name: str, found: object, names: tuple[str, ...]) -> None:
    if found not in names:
        raise ConfigInvalid(f"{name} is one of {', '.join(names)}; found {found!r}")


def _unknown(name: object, names: tuple[str, ...]) -> str:
    from difflib import get_close_matches  # Only somebody who made a mistake waits for it.

    near = get_close_matches(str(name), names, 1)
    meant = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(names)}"
    return f"a store has no setting {name!r}{meant}"


class StoreConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a store keeps its values.

    Attributes:
        kind: `plain`: the values as they are now, with a content root when a version is saved;
            `iavl`: saved versions stay readable, with the roots and proofs of cosmos/iavl.
        format: what stored values look like to whoever reads the rows: `raw` bytes, `msgpack`, or
            `json` text. It is the form of storage; values go in and come out as bytes.
        compression: `none`, `gzip`, `lz4`, `snappy` or `zstd`. No root hash depends on it.
        max_versions: how many saved versions are kept; 0: all.
        initial_version: the number of the first saved version.
        fast_index: of kind `iavl`: keep the values of the latest version beside its tree, so that a
            `get` reads one row; a saved version writes one more row for each changed key.

    Raises:
        ConfigInvalid: a value cannot be.
    """

    kind: Kind = "plain"
    format: Format = "raw"
    compression: str = "none"
    max_versions: int = 0
    initial_version: int = 1
    fast_index: bool = False

    def __post_init__(self) -> None:
        _require_one_of("kind", self.kind, KINDS)
        _require_one_of("format", self.format, FORMATS)
        compression_named(self.compression)
        for name, least in (("max_versions", 0), ("initial_version", 1)):
            number = getattr(self, name)
            if type(number) is not int or not least <= number <= VERSION_MAX:
                raise ConfigInvalid(
                    f"{name} is an int from {least} to {VERSION_MAX}; found {number!r}"
                )
        if self.kind == "plain" and self.initial_version != 1:
            raise ConfigInvalid(
                "the versions of a plain store count from 1; initial_version is for kind='iavl'"
            )
        if type(self.fast_index) is not bool:
            raise ConfigInvalid(f"fast_index is True or False; found {self.fast_index!r}")
        if self.kind == "plain" and self.fast_index:
            raise ConfigInvalid(
                "a plain store has one row for each value anyway; fast_index is for kind='iavl'"
            )

    @classmethod
    def of(cls, given: StoreConfig | Mapping[str, Any] | None, kind: str | None = None) -> Self:
        """The configuration that was given as an object, as a mapping, or not at all.

        Raises:
            ConfigInvalid: an unknown name, or a value that cannot be.
        """
        if isinstance(given, StoreConfig):
            found = {name: getattr(given, name) for name in cls.__struct_fields__}
        elif given is None:
            found = {}
        elif isinstance(given, Mapping):
            found = dict(given)
        else:
            raise ConfigInvalid(
                "config is a StoreConfig or a mapping of its fields; found a "
                f"{type(given).__name__}"
            )
        for name in found:
            if name not in cls.__struct_fields__:
                raise ConfigInvalid(_unknown(name, cls.__struct_fields__))
        if kind is not None:
            found["kind"] = kind
        return cls(**found)


class Origin(NamedTuple):
    """Where a branch began: whose rows its first versions stand in.

    Attributes:
        number: of the keyspace.
        up_to: the highest version whose rows stand there.
    """

    number: int
    up_to: int


class Remembered(msgspec.Struct, frozen=True):
    """What the directory of keyspaces says of a store.

    Attributes:
        config: as given when it was made.
        tracked: its changed keys are recorded, because a version was saved once.
        origins: of a branch, from the oldest: where it began.
    """

    config: StoreConfig = StoreConfig()
    tracked: bool = False
    origins: tuple[Origin, ...] = ()

    @property
    def compression(self) -> Compression:
        """How values are packed."""
        return compression_named(self.config.compression)

    def settings(self) -> KeyspaceSettings:
        """The same as settings of a keyspace. Stores keep no past of single keys."""
        config = self.config
        facts = _Facts(
            config.kind,
            config.max_versions,
            config.initial_version,
            self.tracked,
            self.origins,
            config.fast_index,
        )
        return KeyspaceSettings(
            history="none",
            value_format="" if config.format == "raw" else config.format,
            compression="" if config.compression == NONE.name else config.compression,
            of_view=b"" if facts == _Facts() else msgspec.msgpack.encode(facts),
        )


class _Facts(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """What of a store no other setting of a keyspace says, as it is stored."""

    kind: str = "plain"
    max_versions: int = 0
    initial_version: int = 1
    tracked: bool = False
    origins: tuple[Origin, ...] = ()
    fast_index: bool = False


def remembered(settings: KeyspaceSettings) -> Remembered:
    """What the settings of a keyspace say.

    Raises:
        IntegrityFailed, FormatTooNew: they cannot be read.
    """
    try:
        facts = _Facts()
        if settings.of_view:
            facts = msgspec.msgpack.decode(settings.of_view, type=_Facts)
        config = StoreConfig(
            kind=facts.kind,  # type: ignore[arg-type]  # checked where it is made
            format=settings.value_format or "raw",  # type: ignore[arg-type]  # likewise
            compression=settings.compression or NONE.name,
            max_versions=facts.max_versions,
            initial_version=facts.initial_version,
            fast_index=facts.fast_index,
        )
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityFailed(
            "the settings of a store cannot be read; run `holdfast check` on the database"
        ) from error
    except ConfigInvalid as error:
        raise FormatTooNew(
            f"the settings of a store are those of a later Holdfast: {error}. Open the database "
            "with the version that made it"
        ) from error
    return Remembered(config, facts.tracked, facts.origins)
