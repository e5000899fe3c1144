"""The scores of all documents that have some words, reckoned at once where numpy is installed.

Block by block Python looks at each posting of each word by itself, which is most of what a search
for several common words takes. numpy does the same sums in the same order, so that the scores are
the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from holdfast.contract.errors import DriverMissing
from holdfast.documents.text.rows import BLOCK_DOCUMENTS
from holdfast.documents.text.sources import Term
from holdfast.documents.vector.vectors import numpy

#: Of fewer blocks it is not worth the while.
BLOCKS_LEAST: Final = 8
_WORD_BYTES: Final = 4


def scored_together(
    terms: Sequence[tuple[Term, float, float]],
    blocks: Sequence[int],
    lengths: Mapping[int, bytes | None],
    base: float,
    share: float,
) -> list[tuple[float, int]] | None:
    """(minus the score, number) of the documents that have all terms, in the order of numbers.

    None: numpy is not installed, or there is too little to do.

    Args:
        terms: of an index over one field, each with what boosts it and the weight of the field.
        blocks: those in which all terms have postings, ascending.
        lengths: the rows of the lengths of these blocks.
        base, share: of the norm of a document without words, and of each word.
    """
    module = _numpy()
    if module is None or len(blocks) < BLOCKS_LEAST:
        return None
    firsts = module.array(blocks, "i8")
    columns = [_postings(module, term, blocks, firsts) for term, _, _ in terms]
    numbers = columns[0][0]
    places = [module.arange(len(numbers))]
    for others, _ in columns[1:]:
        at = module.searchsorted(others, numbers)
        at[at == len(others)] = 0
        there = others[at] == numbers
        numbers = numbers[there]
        places = [one[there] for one in (*places, at)]
    norms = base + share * _words(module, numbers, firsts, [lengths.get(one) for one in blocks])
    scores = module.zeros(len(numbers))
    for (_, boost, weight), (_, counts), at in zip(terms, columns, places, strict=True):
        often = weight * counts[at]
        scores += boost * often / (often + norms)
    return list(zip((-scores).tolist(), numbers.tolist(), strict=True))


def _postings(module: Any, term: Term, blocks: Sequence[int], firsts: Any) -> tuple[Any, Any]:
    """The numbers of the documents that have a term, ascending, and how often each has it."""
    sizes, lows, counts = term.joined(blocks)
    numbers = module.repeat(firsts * BLOCK_DOCUMENTS, sizes) + module.frombuffer(lows, "<u2")
    return numbers, module.frombuffer(counts, "u1").astype("f8")


def _words(module: Any, numbers: Any, firsts: Any, rows: list[bytes | None]) -> Any:
    """How many words each of these documents has; 0 where a row does not say it."""
    sizes = module.array([len(row or b"") // _WORD_BYTES for row in rows], "i8")
    starts = module.cumsum(sizes) - sizes
    words = module.frombuffer(b"".join([row or b"" for row in rows]), "<u4")
    block = module.searchsorted(firsts, numbers // BLOCK_DOCUMENTS)
    low = numbers % BLOCK_DOCUMENTS
    said = low < sizes[block]
    found = module.zeros(len(numbers))
    found[said] = words[(starts[block] + low)[said]]
    return found


@cache
def _numpy() -> Any:
    try:
        return numpy()
    except DriverMissing:
        return None
