"""The files of the package: twins, functions, and the imports that they need."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType

from tools.sync_twins.classes import class_text
from tools.sync_twins.declarations import (
    FUNCTIONS,
    IMPORTS,
    LOADED_LATER,
    PURPOSES,
    TWINS,
    VARIABLES,
)
from tools.sync_twins.handwritten import (
    OPEN_BODY,
    OPEN_REWRITES,
    PACKAGE,
    PREAMBLE,
    STATE_STORE,
    TWIN_OF,
)
from tools.sync_twins.lookup import PROPERTIES, getter, members
from tools.sync_twins.wording import arguments, quoted, signature, spoken

ROOT = Path(__file__).parents[2]
TARGET = ROOT / "src" / "holdfast" / "sync"


def open_text() -> str:
    opening = importlib.import_module("holdfast.database.open").open
    used: set[str] = set()
    doc = spoken(inspect.cleandoc(opening.__doc__ or ""), OPEN_REWRITES, used)
    if used != OPEN_REWRITES.keys():
        raise SystemExit("make_sync: holdfast.open no longer says what OPEN_REWRITES expects")
    call = f"open_async({arguments(opening, {})})"
    body = OPEN_BODY.format(call=call).strip("\n")
    return f"def open{signature(opening)}:\n" + textwrap.indent(quoted(doc), "    ") + f"\n{body}\n"


def function_text(module: str, name: str) -> str:
    """The twin of a function."""
    function = getattr(importlib.import_module(module), name)
    doc = spoken(inspect.cleandoc(function.__doc__ or ""), {}, set())
    body = f"return drive({name}_async({arguments(function, {})}))"
    return f"def {name}{signature(function)}:\n" + textwrap.indent(
        f"{quoted(doc)}\n{body}\n", "    "
    )


@functools.cache
def origins() -> dict[str, str]:
    """Where the names in signatures of the handles come from: name to module."""
    found = dict(IMPORTS)
    opening = importlib.import_module("holdfast.database.open")
    mentions = [(opening, str(inspect.signature(opening.open)))]
    for module_name, name in FUNCTIONS:
        module = importlib.import_module(module_name)
        mentions.append((module, str(inspect.signature(getattr(module, name)))))
    for twin in TWINS:
        own = sys.modules[twin.handle.__module__]
        mentions += [(own, " ".join(twin.attributes.values()))]
        for _, member in members(twin):
            function = getter(member) if isinstance(member, PROPERTIES) else member
            module = sys.modules[function.__module__]
            mentions.append((module, str(inspect.signature(function))))
            if function.__name__ in twin.plain:
                mentions.append((module, inspect.getsource(function)))
    for module, text in mentions:
        known = dict.fromkeys(vars(module), module.__name__) | imported(module)
        for name in set(re.findall(r"\w+", text)) & known.keys() - VARIABLES:
            if found.setdefault(name, known[name]) != known[name]:
                raise SystemExit(
                    f"make_sync: signatures mean two things by {name}: that of {found[name]} "
                    f"and that of {known[name]}; rename one"
                )
    return found


@functools.cache
def imported(module: ModuleType) -> dict[str, str]:
    return {
        alias.name: node.module
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }


def imports_text(code: str, file: str) -> str:
    """The imports that the code of a file needs."""
    tree = ast.parse("from __future__ import annotations\n" + code)
    parameters = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - parameters
    here = {twin.twin for twin in TWINS if twin.file == file}
    elsewhere = {twin.twin: twin.file for twin in TWINS if twin.file != file} | {"Walk": "walk"}
    known = origins()
    lines = {
        f"from {twin.handle.__module__} import {twin.handle.__name__} as {twin.alias}"
        for twin in TWINS
        if twin.alias in names
    }
    lines |= {
        f"from holdfast.sync.{elsewhere[name]} import {name}" for name in names & elsewhere.keys()
    }
    others = names - here - elsewhere.keys() - VARIABLES
    lines |= {f"from {known[name]} import {name}" for name in others if name in known}
    if "open_async" in names:
        lines.add("from holdfast.database.open import open as open_async")
    lines |= {
        f"from {module} import {name} as {name}_async"
        for module, name in FUNCTIONS
        if f"{name}_async" in names
    }
    later = {line for line in lines if line.split()[1].startswith(LOADED_LATER)}
    text = "\n".join(sorted(lines - later)) + "\n"
    if later:
        text += "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
        text += textwrap.indent("\n".join(sorted(later)), "    ") + "\n"
    return text


def generate() -> dict[Path, str]:
    """The text of each module."""
    written = {}
    for file, purpose in PURPOSES.items():
        parts = [class_text(twin) for twin in TWINS if twin.file == file]
        if file == "database":
            parts[:0] = [open_text(), *(function_text(*one) for one in FUNCTIONS)]
        parts += {"state": [STATE_STORE], "state_events": [TWIN_OF]}.get(file, [])
        code = "\n\n".join(parts)
        used = [one for one in sorted(VARIABLES) if re.search(rf"\b{one}\b", code)]
        text = PREAMBLE.format(purpose=purpose) + imports_text(
            code + ("\nTypeVar" if used else ""), file
        )
        text += "".join(f'\n{one} = TypeVar("{one}")' for one in used) + "\n\n\n" + code
        path = TARGET / f"{file}.py"
        written[path] = ruff(
            ruff(text, path, "check", "--select", "I", "--fix", "--quiet"), path, "format"
        )
    names = {twin.twin: twin.file for twin in TWINS if not twin.shared} | {
        "open": "database", "Walk": "walk", "state_store": "state",
    }  # fmt: skip
    names |= {name: "database" for _, name in FUNCTIONS}
    imports = "\n".join(f"from holdfast.sync.{names[name]} import {name}" for name in sorted(names))
    text = PACKAGE.format(imports=imports, names=sorted(names))
    path = TARGET / "__init__.py"
    written[path] = ruff(
        ruff(text, path, "check", "--select", "I,RUF022", "--fix", "--quiet"), path, "format"
    )
    return written


def ruff(text: str, path: Path, *command: str) -> str:
    """The text through one command of ruff."""
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(path), "-"],
        input=text,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"make_sync: ruff {command[0]} failed\n{done.stdout}{done.stderr}\n{text}")
    return done.stdout
