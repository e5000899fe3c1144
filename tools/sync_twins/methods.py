"""The methods and properties of a twin, each from the handle's own."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any, get_overloads

from tools.sync_twins.lookup import NAMES, twin_of
from tools.sync_twins.twin import Twin
from tools.sync_twins.wording import CALLBACK, arguments, called, defined, signature, typed

OPTIONAL = re.compile(r"(\w+) \| None")
LISTED = re.compile(r"list\[(\w+)\]")


def overloads_text(name: str, method: Callable[..., Any]) -> str:
    """What a type checker is told of a method that answers by its arguments."""
    return "".join(
        f"@overload\ndef {called(name)}{signature(one)}: ...\n" for one in get_overloads(method)
    )


def plain_text(name: str, method: Callable[..., Any], doc: str) -> str:
    """A method of a twin that runs the statements of its handle's coroutine itself."""
    [function] = ast.parse(textwrap.dedent(inspect.getsource(method))).body
    assert isinstance(function, ast.AsyncFunctionDef)
    statements = function.body[1:] if inspect.getdoc(method) else function.body
    lines = [ast.unparse(ast.fix_missing_locations(_Driven().visit(one))) for one in statements]
    body = "\n".join(["inner = self._inner", *lines])
    return defined(called(name), signature(method), doc, body)


class _Driven(ast.NodeTransformer):
    """The code of a coroutine of a handle as that of its twin."""

    def visit_Await(self, node: ast.Await) -> ast.AST:
        self.generic_visit(node)
        return ast.Call(ast.Name("drive", ast.Load()), [node.value], [])

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name("inner", node.ctx) if node.id == "self" else node


def method_text(twin: Twin, name: str, method: Callable[..., Any], doc: str) -> str:
    """A method of a twin: drives the coroutine, iterator or plain method of its handle."""
    if name in twin.plain:
        return plain_text(name, method, doc)
    result = str(inspect.signature(method).return_annotation)
    setup, replaced = callbacks(method)
    call = f"self._inner.{name}({arguments(method, replaced)})"
    if inspect.iscoroutinefunction(method):
        call = f"drive({call})"
    elif result == "Opening":
        call = f"drive({call}.take())"
    setup += twin.first.get(name, "").lstrip()
    managed = re.fullmatch(r"AsyncIterator\[(\w+)\]", result)
    if managed and hasattr(method, "__wrapped__"):
        # Decorated with asynccontextmanager: a block, not an iteration.
        kept = NAMES[managed[1]]
        text = signature(method).replace("Iterator[", "AbstractContextManager[")
        body = f"from holdfast.state.driven import driven\n\nreturn driven({call}, {kept})"
        return defined(called(name), text, doc, setup + body)
    if result == "Self":
        body = f"{call}\nreturn self"
    elif result == "None":
        body = call
    elif "AsyncIterator" in result:
        body = f"return DrivenIterator({call})"
    else:
        body = result_text(result, call)
    if any(twin_of(str(one.annotation)) not in (None, twin.twin) for one in parameters(method)):
        body += "  # noqa: SLF001 - of this module"
    text = defined(called(name), signature(method), doc, setup + body)
    return overloads_text(name, method) + text


def parameters(method: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters of a method."""
    return list(inspect.signature(method).parameters.values())


def callbacks(method: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """Coroutine functions around plain callbacks, and by which parameter each is given."""
    setup, replaced = "", {}
    for name, one in inspect.signature(method).parameters.items():
        if OPTIONAL.fullmatch(str(one.annotation)) and twin_of(str(one.annotation).split()[0]):
            setup += f"{name}_inner = None if {name} is None else {name}._inner  # noqa: SLF001\n"
            replaced[name] = f"{name}_inner"
        match = CALLBACK.fullmatch(str(one.annotation))
        if match:
            handle, result = match.groups()
            setup += (
                f"async def awaited(handle: Async{handle}) -> {result}:\n"
                f"    return {name}({twin_of(handle)}(handle))\n\n"
            )
            replaced[name] = "awaited"
        elif twin_of(str(one.annotation)):
            replaced[name] = f"{name}._inner"
    return setup, replaced


def result_text(result: str, call: str) -> str:
    """What the twin returns: twins for what the handle returns of its own kind."""
    optional, listed = OPTIONAL.fullmatch(result), LISTED.fullmatch(result)
    if optional and optional[1] in NAMES:
        return f"found = {call}\nreturn None if found is None else {NAMES[optional[1]]}(found)"
    if listed and listed[1] in NAMES:
        return f"return [{NAMES[listed[1]]}(one) for one in {call}]"
    kept = twin_of(result)
    return f"return {kept}({call})" if kept else f"return {call}"


def iterator_method(twin: Twin, name: str, method: Callable[..., Any], doc: str) -> str | None:
    """A method of a twin that is an iterator: those that concern the iteration."""
    begin = "drive(self._inner.begin())\n" if hasattr(twin.handle, "begin") else ""
    bodies = {
        "__aiter__": "return self",
        "__anext__": "return next(self._items)",
        "aclose": "self._items.close()\ndrive(self._inner.aclose())",
        "__aenter__": f"{begin}return self",
        "__aexit__": "self.close()",
    }
    if name not in bodies:
        return None
    return defined(called(name), signature(method), doc, bodies[name])


def property_text(name: str, annotation: str, doc: str) -> str:
    """A property of a twin. A twin made for one is kept, so that it stays the same object."""
    twin = twin_of(annotation)
    body = f"return self._inner.{name}"
    if twin:
        body = (
            f"inner = self._inner.{name}\n"
            f"known = self._{name}\n"
            "if known is None or known._inner is not inner:  # noqa: SLF001 - of this module\n"
            f"    known = self._{name} = {twin}(inner)\n"
            "return known"
        )
    return "@property\n" + defined(name, f"(self) -> {typed(annotation)}", doc, body)
