"""`MockStoreAdapter`: what tests of services stand on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from holdfast.contract.errors import InvalidInput
from holdfast.contract.runtime import Components
from holdfast.state.adapter import VERBS
from holdfast.state.mock.memory import MemoryAdapter

#: Calls that are kept on record; older ones go.
CALLS_MAX = 100_000


class Call(NamedTuple):
    """A call of an adapter: `Call("get", ("holdfast:state:api:kv:a",), {})`."""

    verb: str
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]


class MockStoreAdapter(MemoryAdapter):
    """A whole adapter in this process, which keeps a record of its calls and fails when told.

        adapter = MockStoreAdapter()
        adapter.fail("set", OSError("no way"))

    Attributes:
        calls: every call of a verb, in order.
    """

    name = "mock"

    def __init__(self, components: Components | None = None) -> None:
        super().__init__(components)
        self.calls: list[Call] = []
        self._faults: dict[str, list[BaseException]] = {}
        for verb in VERBS:
            setattr(self, verb, self._recorded(verb, getattr(self, verb)))

    def fail(self, verb: str, error: BaseException, *, times: int = 1) -> None:
        """Let the next calls of a verb raise, before they do anything; "*" stands for every verb.

        Raises:
            InvalidInput: there is no such verb.
        """
        if verb != "*" and verb not in VERBS:
            raise InvalidInput(f"an adapter has the verbs {', '.join(VERBS)}; found {verb!r}")
        self._faults.setdefault(verb, []).extend([error] * times)

    def count(self, verb: str) -> int:
        """How often a verb was called."""
        return sum(call.verb == verb for call in self.calls)

    def _recorded(self, verb: str, work: Callable[..., Any]) -> Callable[..., Any]:
        async def recorded(*arguments: Any, **keywords: Any) -> Any:
            self.calls.append(Call(verb, arguments, keywords))
            if len(self.calls) > CALLS_MAX:
                del self.calls[0]
            for name in (verb, "*"):
                faults = self._faults.get(name)
                if faults:
                    raise faults.pop(0)
            return await work(*arguments, **keywords)

        return recorded
