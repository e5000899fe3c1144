"""Real graphs of LangGraph on our checkpointer and memory: they stop, go on elsewhere, and fork."""

import asyncio
import operator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, interrupt

import holdfast
import holdfast.sync
from holdfast.adapters.langgraph_checkpoints import HoldfastSaver
from holdfast.adapters.langgraph_store import HoldfastStore
from tests.adapters.suites import opened

CONFIG: Any = {"configurable": {"thread_id": "ada"}}


class State(TypedDict):
    log: Annotated[list[str], operator.add]


def note(state: State, *, store: BaseStore) -> Any:
    store.put(("seen",), "last", {"log": state["log"]})
    return {"log": ["noted"]}


async def note_awaited(state: State, *, store: BaseStore) -> Any:
    await store.aput(("seen",), "last", {"log": state["log"]})
    return {"log": ["noted"]}


def ask(state: State) -> Any:
    return {"log": [interrupt("what?")]}


def built(saver: Any, store: Any, first: Any = note) -> Any:
    graph = StateGraph(State)
    graph.add_node("note", first)
    graph.add_node("ask", ask)
    graph.add_edge(START, "note")
    graph.add_edge("note", "ask")
    graph.add_edge("ask", END)
    return graph.compile(checkpointer=saver, store=store)


def told(graph: Any) -> list[Any]:
    """A conversation with an interrupt, a fork, a step repeated and an update: all that is seen."""
    seen = [graph.invoke({"log": ["hello"]}, CONFIG)["log"]]
    seen.append(graph.invoke(Command(resume="yes"), CONFIG)["log"])
    history = list(graph.get_state_history(CONFIG))
    seen.append(graph.invoke(Command(resume="other"), history[1].config)["log"])
    seen.append(graph.invoke(None, history[2].config)["log"])
    seen.append(graph.invoke(Command(resume="third"), CONFIG)["log"])
    graph.update_state(CONFIG, {"log": ["by hand"]}, as_node="note")
    return [
        *seen,
        [
            (one.values.get("log"), one.next, one.metadata["step"], one.metadata["source"])
            for one in graph.get_state_history(CONFIG)
        ],
    ]


def test_a_graph_does_what_it_does_in_memory(db: holdfast.sync.Database) -> None:
    expected = told(built(InMemorySaver(), InMemoryStore()))
    assert told(built(HoldfastSaver(db), HoldfastStore(db))) == expected
    assert expected[1] == ["hello", "noted", "yes"]


def test_a_graph_that_waits_goes_on_when_the_database_is_opened_again(tmp_path: Path) -> None:
    address = f"lmdb:///{tmp_path / 'db'}"
    with holdfast.sync.open(address) as db:
        stopped = built(HoldfastSaver(db), HoldfastStore(db)).invoke({"log": ["hello"]}, CONFIG)
        assert stopped["__interrupt__"][0].value == "what?"
    with holdfast.sync.open(address) as db:
        graph = built(HoldfastSaver(db), HoldfastStore(db))
        assert graph.invoke(Command(resume="that"), CONFIG)["log"] == ["hello", "noted", "that"]
        entry = db.entries.get("langgraph/seen:last")
        assert entry is not None
        assert entry.value == {"log": ["hello"]}


@pytest.mark.parametrize("kind", ["loop", "threads"])
def test_a_graph_awaited(kind: str) -> None:
    async def work() -> None:
        async with opened(kind) as db:
            graph = built(HoldfastSaver(db), HoldfastStore(db), note_awaited)
            await graph.ainvoke({"log": ["hello"]}, CONFIG)
            end = await graph.ainvoke(Command(resume="that"), CONFIG)
            assert end["log"] == ["hello", "noted", "that"]
            assert len([one async for one in graph.aget_state_history(CONFIG)]) == 4

    asyncio.run(work())
