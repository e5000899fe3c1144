"""IAVL+ trees: saved versions of keys and values, each with a root hash that proofs lead to.

Hashes, node rows and node keys are those of cosmos/iavl v1, so its proofs verify against our roots
and ours against its. `tree.py` is the whole; the rest of the files are its parts, from the bytes of
a node upwards: `nodes`, `encoding`, `rows`, `cache`, `loading`, `walking`, `working`, `saving`,
`versions`, `diffing`, `checking`, `pruning`, `index`, `limits`, `steps`, `view`, `proving`.
"""

from __future__ import annotations

from holdfast.stores.iavl.cache import CACHE_NODES, NodeCache
from holdfast.stores.iavl.diffing import Change
from holdfast.stores.iavl.limits import KEY_BYTES_MAX, VALUE_BYTES_MAX
from holdfast.stores.iavl.rows import RowBatch, Rows, TreeRows
from holdfast.stores.iavl.steps import Kind, Step
from holdfast.stores.iavl.tree import IavlTree
from holdfast.stores.iavl.view import View

__all__ = [
    "CACHE_NODES",
    "KEY_BYTES_MAX",
    "VALUE_BYTES_MAX",
    "Change",
    "IavlTree",
    "Kind",
    "NodeCache",
    "RowBatch",
    "Rows",
    "Step",
    "TreeRows",
    "View",
]
