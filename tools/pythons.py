"""Run the suite's core on every other Python that this machine has.

    python tools/pythons.py            all that are found
    python tools/pythons.py 3.13       only those

Interpreters are looked for on PATH and where version managers keep theirs. Each gets an environment
of its own below build/, with wheels alone: what has none for it is named, and what can run without
it is run. Exit code 1: a test failed, or an interpreter that was asked for is not there. What could
not be tried is listed at the end, each with its reason.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "pythons"

#: What we mean to run on; a `t` at the end is a build without the global lock.
WANTED = ("3.11", "3.12", "3.13", "3.14", "3.14t")
#: Where version managers keep interpreters, below the home folder.
MANAGERS = (
    ".pyenv/versions/*/bin/python", ".local/share/uv/python/*/bin/python3",
    ".asdf/installs/python/*/bin/python", ".local/share/mise/installs/python/*/bin/python",
)  # fmt: skip
#: The core: every engine's contract, every codec, and the first things that entries do.
CORE = (
    "tests/contract", "tests/codecs", "tests/engines/test_contract_memory.py",
    "tests/engines/test_contract_sqlite.py", "tests/records/test_entries.py",
)  # fmt: skip
CORE_OF_LMDB = ("tests/engines/test_contract_lmdb.py",)
#: Of the development tools, those that the core needs.
TOOLS = ("hypothesis", "pytest", "pytest-timeout", "rfc8785")
EXTRAS = ("compression", "protobuf", "schema")

INSTALL_S_MAX = 240
TESTS_S_MAX = 600

_FACTS = """
import json, sys, sysconfig
free = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
tag = f"{sys.version_info[0]}.{sys.version_info[1]}{'t' if free else ''}"
usable = sys.implementation.name == "cpython" and sys.version_info.releaselevel == "final"
print(json.dumps([tag, sys.version.split()[0], sys.base_prefix, usable]))
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python that starts.

    Attributes:
        tag: 3.13, or 3.14t for one without the global lock.
        version: in full.
        path: of the executable.
    """

    tag: str
    version: str
    path: Path


@dataclass(frozen=True)
class Result:
    """What became of one interpreter."""

    tag: str
    passed: bool
    told: str


def candidates() -> Iterator[Path]:
    """Files that may be interpreters."""
    for pattern in MANAGERS:
        yield from sorted(Path.home().glob(pattern), reverse=True)
    for tag in (*WANTED, "3"):
        found = shutil.which(f"python{tag}")
        if found is not None:
            yield Path(found)


def facts(path: Path) -> Interpreter | None:
    """What an executable is; None when it does not start, as a shim of a version not chosen."""
    try:
        done = subprocess.run(
            [path, "-I", "-c", _FACTS], capture_output=True, text=True, timeout=20, check=False
        )
        tag, version, _, usable = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return Interpreter(tag, version, path) if usable else None


def interpreters() -> dict[str, Interpreter]:
    """One interpreter for each version that we mean to run on."""
    found: dict[str, Interpreter] = {}
    for path in candidates():
        one = facts(path)
        if one is not None and one.tag in WANTED:
            found.setdefault(one.tag, one)
    return found


def requirements() -> tuple[list[str], list[str]]:
    """What the core cannot do without, and what it can: of the package, its extras, its tools."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = content["project"]
    # A group within the group is a mapping, and nothing that the core needs.
    group = [one for one in content["dependency-groups"]["dev"] if isinstance(one, str)]
    tools = [one for one in group if _name(one) in TOOLS]
    needed = [one for one in project["dependencies"] if _name(one) != "lmdb"]
    optional = [one for one in project["dependencies"] if _name(one) == "lmdb"]
    for extra in EXTRAS:
        optional += project["optional-dependencies"][extra]
    return needed + tools, optional


def _name(requirement: str) -> str:
    end = next((n for n, letter in enumerate(requirement) if letter in "<>=[;! "), None)
    return requirement[:end]


def prepare(one: Interpreter) -> tuple[Path, set[str]]:
    """An environment of an interpreter, and the names of what has no wheel for it.

    Raises:
        LookupError: the core cannot run without something that has none; says what.
    """
    home = FOLDER / one.tag
    python = home / "bin" / "python"
    if not python.exists() or facts(python) != Interpreter(one.tag, one.version, python):
        shutil.rmtree(home, ignore_errors=True)
        _run([str(one.path), "-m", "venv", str(home)])
    needed, optional = requirements()
    for requirement in needed:
        if not _installed(python, [requirement]):
            raise LookupError(f"{_name(requirement)} has no wheel for it, or cannot be fetched")
    if _installed(python, optional):
        return python, set()
    return python, {_name(one) for one in optional if not _installed(python, [one])}


def _installed(python: Path, wanted: list[str]) -> bool:
    command = [
        str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
        "--only-binary", ":all:", *wanted,
    ]  # fmt: skip
    return _run(command, check=False) == 0


def _run(command: list[str], *, check: bool = True) -> int:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_S_MAX, check=False
        )
    except subprocess.TimeoutExpired:
        if check:
            raise LookupError(f"{command[0]} took longer than {INSTALL_S_MAX} s") from None
        return 1
    if check and done.returncode:
        told = (done.stderr or done.stdout).strip().splitlines()
        raise LookupError(told[-1] if told else f"{command[0]} ended with {done.returncode}")
    return done.returncode


def core(without: set[str]) -> list[str]:
    """The arguments for pytest."""
    paths = list(CORE)
    arguments = ["-q", "-p", "no:cacheprovider", "-m", "not torture"]
    if "lmdb" in without:
        arguments += ["-k", "not lmdb and not Lmdb"]
    else:
        paths += CORE_OF_LMDB
    gone = [path for path in paths if not (ROOT / path).exists()]
    if gone:
        raise SystemExit(f"pythons: the core names what is gone: {', '.join(gone)}; see CORE")
    return arguments + paths


def tried(one: Interpreter) -> Result:
    """Run the core on an interpreter."""
    began = time.monotonic()
    try:
        python, without = prepare(one)
    except LookupError as error:
        return Result(one.tag, passed=True, told=f"not tried: {error}")
    print(f"==> Python {one.version}{' without the global lock' * one.tag.endswith('t')}")
    others = without - {"lmdb"}
    if others:
        # Codecs are tested with what they need, or not at all.
        return Result(one.tag, passed=True, told=f"not tried: no wheel of {', '.join(others)}")
    variables = os.environ | {"PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [python, "-m", "pytest", *core(without)],
            cwd=ROOT, env=variables, timeout=TESTS_S_MAX, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Result(one.tag, passed=False, told=f"FAILED: longer than {TESTS_S_MAX} s")
    said = "ok" if done.returncode == 0 else "FAILED"
    if "lmdb" in without:
        said += ", without lmdb, which has no wheel for it"
    return Result(
        one.tag, done.returncode == 0, f"{said}, {time.monotonic() - began:.0f} s ({one.version})"
    )


def report(results: Iterable[Result]) -> int:
    """Print what became of each; the exit code."""
    results = list(results)
    print("\npythons:")
    for one in results:
        print(f"  {one.tag:6} {one.told}")
    return 0 if all(one.passed for one in results) else 1


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tags", nargs="*", metavar="VERSION", help="3.12, 3.14t; none: all")
    options = parser.parse_args(arguments)
    own = facts(Path(sys.executable))
    found = interpreters()
    results = []
    for tag in options.tags or WANTED:
        if tag in found and (options.tags or own is None or tag != own.tag):
            results.append(tried(found[tag]))
        elif own is not None and tag == own.tag:
            results.append(Result(tag, passed=True, told=f"runs all of make test ({own.version})"))
        else:
            told = "not tried: no such interpreter on PATH or of a version manager"
            results.append(Result(tag, passed=not options.tags, told=told))
    return report(results)


if __name__ == "__main__":
    sys.exit(main())
