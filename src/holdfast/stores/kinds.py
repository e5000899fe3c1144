"""The content of a store by its kind."""

from __future__ import annotations

from holdfast.store.space import Space
from holdfast.stores.config import Remembered, remembered
from holdfast.stores.content import Content
from holdfast.stores.plain import PlainContent


def content_of(space: Space, facts: Remembered | None = None) -> Content:
    """The content of the store whose keyspace a space is."""
    facts = remembered(space.keyspace.settings) if facts is None else facts
    if facts.config.kind == "plain":
        return PlainContent(space, facts)
    # Trees are loaded when somebody has one: most programs have none.
    from holdfast.stores.versions.tree_content import TreeContent

    return TreeContent(space, facts)
