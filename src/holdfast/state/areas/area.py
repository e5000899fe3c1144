"""What the areas share: the keys, the adapter, the serializer, who watches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from holdfast.contract.errors import (
    DeserializationFailed,
    SerializationFailed,
    StoreError,
    ValueTooLarge,
)
from holdfast.contract.runtime import Components
from holdfast.state.adapter import StateAdapter
from holdfast.state.event_names import EventNameRules
from holdfast.state.keys import KeySpace, ScopedKeys
from holdfast.state.limits import KEY_BYTES_ADVISED, VALUE_BYTES_ADVISED, VALUE_BYTES_MAX
from holdfast.state.observing import Observer


class ValueSerializer(Protocol):
    """Turns values into bytes and back; see `holdfast.codecs.serializers`."""

    def encode(self, value: Any) -> bytes: ...
    def decode(self, data: bytes) -> Any: ...


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything the areas of one scope stand on.

    Attributes:
        keys: of the scope.
        adapter: keeps the state.
        serializer: of values, messages and events.
        observer: tells what happens.
        components: clock, identities, ways to wait.
        default_ttl_ms: of values that are set without a time-to-live; 0: none.
        lints: whether a write without a time-to-live is warned of.
    """

    keys: ScopedKeys
    adapter: StateAdapter
    serializer: ValueSerializer
    observer: Observer
    components: Components
    default_ttl_ms: int = 0
    lints: bool = False

    def encode(self, value: Any) -> bytes:
        """The value's bytes.

        Raises:
            SerializationFailed: it cannot be stored; nothing was sent.
            ValueTooLarge: it is too large for any keeper; nothing was sent.
        """
        try:
            data = self.serializer.encode(value)
        except StoreError:
            raise
        except Exception as error:
            raise SerializationFailed(
                f"the serializer {type(self.serializer).__name__} refused the value with "
                f"{type(error).__name__}, which is the cause of this error"
            ) from error
        if type(data) is not bytes:
            raise SerializationFailed(
                f"a serializer returns bytes; {type(self.serializer).__name__} returned a "
                f"{type(data).__name__}"
            )
        if len(data) > VALUE_BYTES_MAX:
            # A server breaks the connection off, and with it the calls of others.
            raise ValueTooLarge(
                f"a value has at most {VALUE_BYTES_MAX} bytes; found {len(data)}. Split it",
                limit=VALUE_BYTES_MAX,
                found=len(data),
            )
        if len(data) > VALUE_BYTES_ADVISED:
            self.observer.warn_once(
                "value",
                "a value of %d bytes is above the %d that a server handles well; told once",
                len(data),
                VALUE_BYTES_ADVISED,
            )
        return data

    def decode(self, data: bytes) -> Any:
        """The value of stored bytes.

        Raises:
            DeserializationFailed: they are not of the serializer's format.
        """
        try:
            return self.serializer.decode(data)
        except StoreError:
            raise
        except Exception as error:
            raise DeserializationFailed(
                f"wanted bytes of {type(self.serializer).__name__}; found {len(data)} bytes that "
                "are not. Check that the writer uses the same serializer"
            ) from error

    def advise(self, key: str) -> None:
        """Warn once of long keys."""
        if len(key) > KEY_BYTES_ADVISED:
            self.observer.warn_once(
                "key",
                "a key of %d characters is above the %d that are advised; told once",
                len(key),
                KEY_BYTES_ADVISED,
            )


class Area:
    """One area in one scope."""

    #: The area's name in keys.
    area: str

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._adapter = scene.adapter.of(self.area)
        self._observer = scene.observer
        self._key: KeySpace = scene.keys.area(self.area)


class ExtensionArea(Area):
    """An area of somebody else's: subclass it, name it, and open it with `store.area(YourArea)`.

    Its keys stand below `x:<name>:`, so it meets neither our areas nor other extensions.
    """

    area = "x"
    #: The extension's own name.
    name: str

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._key = self._key.within(EventNameRules.event(self.name))
