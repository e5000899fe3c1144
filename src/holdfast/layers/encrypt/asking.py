"""Asks the provider of master keys, and takes nothing from it that cannot be used later."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from holdfast.contract.errors import ConfigInvalid, DecryptionFailed, StoreError
from holdfast.contract.runtime import Host
from holdfast.layers.encrypt.cipher import KEY_BYTES
from holdfast.layers.encrypt.providers import KeyProvider, Wrapped
from holdfast.layers.encrypt.ring import DataKey

T = TypeVar("T")

#: How long a wrapped key, and the version of a master key, may be.
WRAPPED_BYTES_MAX: Final = 65_536
VERSION_BYTES_MAX: Final = 2_048


class Asking:
    """A provider, asked where that holds up no loop.

    Args:
        provider: wraps and unwraps; whose code it is, nobody knows.
        host: tells how callers wait.
    """

    def __init__(self, provider: KeyProvider, host: Host) -> None:
        self.provider = provider
        self._host = host

    async def ask(self, call: Callable[[], T]) -> T:
        """What the provider answers, asked where that holds up no loop."""

        def answered() -> tuple[T] | Exception:
            try:
                return (call(),)
            except Exception as error:  # noqa: BLE001 - whatever a provider raises is told below
                return error

        if self.provider.at_hand:
            answer = answered()
        else:
            answer = await self._host.runtime().offload(answered)
        if isinstance(answer, tuple):
            return answer[0]
        if isinstance(answer, StoreError):
            raise answer
        # Not its text, which is not ours and may hold what nobody should read.
        raise DecryptionFailed(
            f"{type(self.provider).__name__} failed with a {type(answer).__name__}; mend it and "
            "try again",
        ) from answer

    async def wrapped(self, key: DataKey, data_key: bytes) -> DataKey:
        """The key as it is stored, which its provider has shown to unwrap again."""
        found: object = await self.ask(lambda: self.provider.wrap(key.name, data_key, key.context))
        shape = found if isinstance(found, tuple) and len(found) == len(Wrapped._fields) else None
        version, blob = shape or (None, None)
        if (
            not isinstance(version, str)
            or not isinstance(blob, bytes)
            or not 0 < len(blob) <= WRAPPED_BYTES_MAX
            or len(version.encode(errors="surrogatepass")) > VERSION_BYTES_MAX
            or version != version.encode(errors="replace").decode()
        ):
            raise ConfigInvalid(
                f"{type(self.provider).__name__}.wrap gives Wrapped(version, blob): text of at "
                f"most {VERSION_BYTES_MAX} bytes, and 1 to {WRAPPED_BYTES_MAX} bytes; found "
                f"{_shape(found)}. Nothing was written"
            )
        made = msgspec.structs.replace(key, master=version, wrapped=blob)
        # Before anything is stored that would take its place: what is not unwrapped is lost.
        if not hmac.compare_digest(await self.unwrapped(made), data_key):
            raise DecryptionFailed(
                f"{type(self.provider).__name__} unwraps another key than the one that it wrapped "
                f"as {key.name!r}; mend it and try again. Nothing was written",
                name=key.name,
            )
        return made

    async def unwrapped(self, key: DataKey) -> bytes:
        """The 32 bytes of a key."""
        found: object = await self.ask(
            lambda: self.provider.unwrap(key.name, key.as_wrapped, key.context)
        )
        if not isinstance(found, bytes) or len(found) != KEY_BYTES:
            raise ConfigInvalid(
                f"{type(self.provider).__name__}.unwrap gives {KEY_BYTES} bytes; found "
                f"{_shape(found)}"
            )
        return found


def _shape(found: object) -> str:
    """What a provider gave, without what it holds."""
    kind = type(found).__name__
    if isinstance(found, bytes | str):
        return f"a {kind} of {len(found)}"
    if isinstance(found, tuple):
        return f"a {kind} of ({', '.join(type(one).__name__ for one in found[:3])})"
    return f"a {kind}"
