"""The query language of documents: one tree of conditions from three spellings, and its meaning.

Spelled with `F`, as JSON or as text, a condition is the same tree of nodes. `evaluate` says
what it means; `compile_where` says the same faster; `run` answers a whole `Query` over rows.
"""

from __future__ import annotations

from holdfast.documents.query.compile import compile_where
from holdfast.documents.query.computed import (
    Expression,
    concat,
    cond,
    day,
    hour,
    if_null,
    minute,
    month,
    second,
    size,
    weekday,
    year,
)
from holdfast.documents.query.cursor import cursor_of
from holdfast.documents.query.evaluate import evaluate
from holdfast.documents.query.expression import parse_expression
from holdfast.documents.query.expression_print import expression_text
from holdfast.documents.query.fields import F, Field
from holdfast.documents.query.json_form import canonical, query_from_json, query_to_json
from holdfast.documents.query.json_print import where_to_json
from holdfast.documents.query.json_where import where_from_json
from holdfast.documents.query.nodes import EVERYTHING, Node
from holdfast.documents.query.ordering import OrderBy, Row
from holdfast.documents.query.places import Box, Distance, Point
from holdfast.documents.query.query import Query
from holdfast.documents.query.run import run, run_reference
from holdfast.documents.query.texts import TextMatcher

__all__ = [
    "EVERYTHING",
    "Box",
    "Distance",
    "Expression",
    "F",
    "Field",
    "Node",
    "OrderBy",
    "Point",
    "Query",
    "Row",
    "TextMatcher",
    "canonical",
    "compile_where",
    "concat",
    "cond",
    "cursor_of",
    "day",
    "evaluate",
    "expression_text",
    "hour",
    "if_null",
    "minute",
    "month",
    "parse_expression",
    "query_from_json",
    "query_to_json",
    "run",
    "run_reference",
    "second",
    "size",
    "weekday",
    "where_from_json",
    "where_to_json",
    "year",
]
