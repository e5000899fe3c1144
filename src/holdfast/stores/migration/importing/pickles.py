"""Pickles of a source. Loading one runs whatever code it names, so nobody does it unasked."""

from __future__ import annotations

import pickle
from typing import Any, Final

from holdfast.contract.errors import DeserializationFailed, InvalidInput

_PROTOCOLS: Final = range(2, pickle.HIGHEST_PROTOCOL + 1)


def is_pickle(data: bytes) -> bool:
    """Whether bytes begin and end as a pickle of protocol 2 or later does."""
    return len(data) > 2 and data[0] == 0x80 and data[1] in _PROTOCOLS and data.endswith(b".")  # noqa: PLR2004 - the opcode PROTO


def load(data: bytes, key: str) -> Any:
    """The value of a pickle; only after somebody said that the source is trusted.

    Raises:
        DeserializationFailed: it cannot be loaded. What its code says is not repeated, since it
            may quote user data.
    """
    try:
        return pickle.loads(data)  # noqa: S301 - opted in by the caller
    except Exception as error:  # noqa: BLE001 - classes of users are run, and raise anything
        raise DeserializationFailed(
            f"the pickle under the key {key} cannot be loaded ({type(error).__name__}): it is "
            "damaged, or names a class that this program does not have. Import it where the "
            "module of the class can be imported",
            key=key,
        ) from None


def refuse(what: str, kind: str) -> InvalidInput:
    """The error for pickles that nobody allowed to load."""
    return InvalidInput(
        f"{what} of this {kind} source; loading a pickle runs whatever code it "
        "names. If you trust the source, say unpickle=True (--unpickle)"
    )
