"""The distribution: `holdfast-db` wherever it is installed from, `holdfast` wherever imported.

The name `holdfast` on the package index is somebody else's, so every place that names it after
`pip install` would bring a stranger's code.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import holdfast
from holdfast.cli.doctor import EXTRAS
from tests.tidy import repository

PROJECT = repository.project()["project"]
DECLARED = PROJECT["optional-dependencies"]
# In two pieces each, so that this file does not find itself.
OLD_SPELLINGS = re.compile(
    r"(?<![\w.])holdfast"
    r"\\?\[[a-z{]|install +[\"'`]?holdfast"
    r"(?![\w-])|\bholdfast"
    r"\s*=="
)
EXTRA_NAMED = re.compile(r"holdfast-db\[([^\]]+)\]")
# Installing with these words is what readers copy.
TEXTS = {".md", ".py", ".toml", ".sh", ".yml", ".json", ""}


def lines() -> Iterator[tuple[Path, int, str]]:
    for path in repository.tracked_files():
        if path.suffix in TEXTS:
            name = path.relative_to(repository.ROOT)
            for number, line in enumerate(path.read_text().splitlines(), 1):
                yield name, number, line


def test_the_distribution_has_a_name_of_its_own() -> None:
    assert PROJECT["name"] == "holdfast-db"
    assert PROJECT["scripts"] == {"holdfast": "holdfast_command:main"}
    assert PROJECT["version"] == holdfast.__version__


def test_nothing_tells_to_install_the_name_of_somebody_else() -> None:
    found = [
        f"{path}:{n}: {line.strip()}" for path, n, line in lines() if OLD_SPELLINGS.search(line)
    ]
    assert not found, "a stranger's distribution is named; ours is holdfast-db:\n" + "\n".join(
        found
    )


def test_the_old_spellings_are_recognised() -> None:
    name = "holdfast"
    for old in (
        f"{name}[cli]",
        f"{name}\\[cli",
        f"pip install {name}",
        f'install "{name}"',
        f"{name}=={1}",
    ):
        assert OLD_SPELLINGS.search(old), old
    for fine in (f"{name}-db[cli]", f"pip install {name}-db", f"import {name}", f"{name} keys a"):
        assert not OLD_SPELLINGS.search(fine), fine


def test_every_extra_that_is_named_exists() -> None:
    unknown = [
        f"{path}:{number}: {extra}"
        for path, number, line in lines()
        for named in EXTRA_NAMED.findall(line)
        for extra in re.split(r", *", named)
        if extra not in DECLARED and "{" not in extra and extra != "..."
    ]
    assert not unknown, f"no such extras: {unknown}; there are {sorted(DECLARED)}"


def test_extras_promise_what_is_built_and_no_more() -> None:
    engines = PROJECT["entry-points"]["holdfast.engines"]
    assert DECLARED.keys() <= {*EXTRAS, *engines, "testing", "all"}
    assert EXTRAS.keys() - {"core"} <= DECLARED.keys()
    named = {extra for _, _, line in lines() for extra in EXTRA_NAMED.findall(line)}
    assert named, "nothing says how an extra is installed"


def test_doctor_knows_the_distributions_of_each_extra() -> None:
    wanted = {"core": PROJECT["dependencies"], **DECLARED}
    for extra, parts in EXTRAS.items():
        declared = " ".join(wanted[extra])
        for distribution, _module in parts:
            assert re.search(rf"\b{re.escape(distribution)}\b", declared), (extra, distribution)


def test_the_page_of_the_index_has_links_that_work() -> None:
    urls = PROJECT["urls"]
    assert {"Homepage", "Documentation", "Source", "Issues", "Changelog"} <= urls.keys()
    assert all(url.startswith(urls["Source"]) for url in urls.values())
    hook = repository.project()["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    assert hook["fragments"] == [{"path": "README.md"}]
    text = (repository.ROOT / "README.md").read_text()
    for change in hook["substitutions"]:
        text = re.sub(change["pattern"], change["replacement"], text)
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links
    assert all(re.match(r"https://|#", link) for link in links), links
    for link in links:
        if link.startswith(urls["Source"]):
            local = re.sub(r"^.*/(?:blob|tree)/main/", "", link).partition("#")[0]
            assert (repository.ROOT / local).exists(), link


def test_the_readme_begins_with_how_to_install() -> None:
    text = (repository.ROOT / "README.md").read_text()
    opening = text.partition("```python")[0]
    for command in ("pip install holdfast-db", "make demo", "make test"):
        assert command in opening
