"""Write `docs/interfaces/`: one page for each interface of stores, from the living classes.

python -m tools.make_interfaces            write them
python -m tools.make_interfaces --check    exit code 1 when they are not what would be written
"""

import argparse
import importlib
import inspect
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "interfaces"
sys.path.insert(0, str(ROOT / "src"))

#: The interfaces: page, and where the class is.
INTERFACES = {
    "store": "holdfast.stores.store:Store",
    "store-transaction": "holdfast.stores.transaction:StoreTransaction",
    "store-batch": "holdfast.stores.batch:StoreBatch",
    "mounted-store": "holdfast.stores.mounts:MountedStore",
    "saved-store": "holdfast.stores.versions.saved:SavedStore",
    "multi-store": "holdfast.stores.multistore:MultiStore",
    "store-root": "holdfast.database.store_root:StoreRoot",
    "audit": "holdfast.stores.audit.audit:Audit",
    "range-queryable": "holdfast.stores.capabilities:RangeQueryable",
    "transactional": "holdfast.stores.capabilities:Transactional",
    "versioned": "holdfast.stores.capabilities:Versioned",
}
HEADINGS = ("Purpose", "Methods", "Parameters", "Returns", "Errors")
_SECTION = re.compile(r"^(Args|Returns|Raises)[^:\n]*:\n((?:[ \t]+.*\n?|\n)+)", re.MULTILINE)


@dataclass
class Method:
    """What the docstring of a method says."""

    name: str
    signature: str
    purpose: str
    sections: dict[str, str] = field(default_factory=dict)
    result: str = ""


def methods_of(kind: type) -> list[Method]:
    """The public methods and properties of a class and its bases, by name."""
    found: dict[str, Method] = {}
    for owner in kind.__mro__:
        if owner.__module__.partition(".")[0] != "holdfast":
            continue
        for name, member in vars(owner).items():
            function = member.fget if isinstance(member, property) else member
            if name.startswith("_") or name in found or not inspect.isfunction(function):
                continue
            found[name] = _method(name, function, is_property=isinstance(member, property))
    return [found[name] for name in sorted(found)]


def _method(name: str, function: object, *, is_property: bool) -> Method:
    doc = inspect.getdoc(function) or ""
    sections = {one[1]: " ".join(one[2].split()) for one in _SECTION.finditer(doc + "\n")}
    purpose = " ".join(_SECTION.sub("", doc + "\n").split())
    signature = inspect.signature(function)  # type: ignore[arg-type]
    parameters = ", ".join(one for one in signature.parameters if one != "self")
    shown = name if is_property else f"{name}({parameters})"
    if inspect.iscoroutinefunction(function):
        shown = f"await {shown}"
    elif inspect.isasyncgenfunction(function):
        shown = f"async for ... in {shown}"
    return Method(name, shown, purpose, sections, str(signature.return_annotation))


def page(kind: type) -> str:
    """The page of an interface."""
    doc = inspect.getdoc(kind) or ""
    purpose = re.sub(r"\n\nArgs:\n(?: .*\n?)+", "\n", doc + "\n").strip()
    methods = methods_of(kind)
    lines = [
        f"# {kind.__name__}",
        "",
        "<!-- written by `python -m tools.make_interfaces` from the class itself -->",
        "",
        "## Purpose",
        "",
        purpose,
        "",
        "## Methods",
        "",
        "| call | what it does |",
        "|---|---|",
        *(f"| `{one.signature}` | {_cell(one.purpose)} |" for one in methods),
        "",
        "## Parameters",
        "",
        *_section(methods, "Args", "No method has parameters that its name does not explain."),
        "",
        "## Returns",
        "",
        "| method | type | meaning |",
        "|---|---|---|",
        *(
            f"| `{one.name}` | `{_cell(one.result)}` | {_cell(one.sections.get('Returns', ''))} |"
            for one in methods
        ),
        "",
        "## Errors",
        "",
        *_section(methods, "Raises", "No method raises errors of its own."),
        "",
    ]
    return "\n".join(lines)


def _section(methods: list[Method], name: str, otherwise: str) -> list[str]:
    found = [one for one in methods if name in one.sections]
    if not found:
        return [otherwise]
    return [
        "| method | |",
        "|---|---|",
        *(f"| `{one.name}` | {_cell(one.sections[name])} |" for one in found),
    ]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def pages() -> dict[Path, str]:
    """The text of each page."""
    texts = {}
    for name, place in INTERFACES.items():
        module, _, kind = place.partition(":")
        texts[TARGET / f"{name}.md"] = page(getattr(importlib.import_module(module), kind))
    return texts


def main() -> int:
    parser = argparse.ArgumentParser(description="Write docs/interfaces/.")
    parser.add_argument("--check", action="store_true", help="only say whether they are fresh")
    wanted = parser.parse_args()
    texts = pages()
    if wanted.check:
        stale = [p for p, text in texts.items() if not p.exists() or p.read_text() != text]
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not what the class says; write it anew")
        return int(bool(stale))
    TARGET.mkdir(exist_ok=True)
    for path, text in texts.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
