"""The versions of a store by its kind."""

from __future__ import annotations

from holdfast.stores.content import Content
from holdfast.stores.plain import PlainContent
from holdfast.stores.versions.base import Versions
from holdfast.stores.versions.contents import ContentVersions
from holdfast.stores.versions.tree_content import TreeContent
from holdfast.stores.versions.trees import TreeVersions


def versions_of(content: Content) -> Versions:
    """What saves and shows the versions of a store."""
    if isinstance(content, TreeContent):
        return TreeVersions(content)
    assert isinstance(content, PlainContent)  # there are no other kinds
    return ContentVersions(content, content.remembered)
