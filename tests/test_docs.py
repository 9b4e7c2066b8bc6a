"""What pages name exists: files, names, links, modules, commands; generated pages are fresh."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from cyclopts import CycloptsError

import omnitrace
import replay
from omnitrace.cli import make_app
from tests import api_page

ROOT = Path(__file__).parents[1]
FILES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
PAGES = [path.relative_to(ROOT).as_posix() for path in FILES]
EXAMPLES = {"recorder/models/plain_text.py"}
"""Files that a page tells the reader to write."""
FOLDERS = r"(?:omnitrace|recorder|replay|tui|tests|benchmarks|training|docs|\.ci)/"
NAMES = re.compile(
    rf"((?:`[A-Za-z_][\w.]*`(?:,\s+|\s+or\s+|\s+and\s+)?)+)\s+in\s+`({FOLDERS}[\w/]+\.py)`"
)
RUN = r"(?:benchmarks|tests|training|replay)\."
COMMAND = re.compile(r"^(?:\$ )?(?:[A-Z_]+=\S+ )?omnitrace (.*)$", re.MULTILINE)


def text_of(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    spans = re.findall(r"`([^`\n]+)`", text_of(page))
    named = {path for span in spans for path in re.findall(rf"(?<![\w/.-]){FOLDERS}[\w/.-]*", span)}
    named -= EXAMPLES
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


@pytest.mark.parametrize("page", PAGES)
def test_every_module_that_a_page_runs_is_there(page: str) -> None:
    for module in re.findall(rf"python -m ({RUN}[a-z_.]*[a-z_])", text_of(page)):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module


@pytest.mark.parametrize("page", PAGES)
def test_every_name_that_a_page_places_in_a_file_is_there(page: str) -> None:
    for names, path in NAMES.findall(text_of(page)):
        for name in re.findall(r"`([\w.]+)`", names):
            assert name in names_in(path), f"{page}: {name} in {path}"


def test_the_pages_for_newcomers_are_checked() -> None:
    """That the patterns of the tests above match how these pages write paths and names."""
    assert len(NAMES.findall(text_of("CONTRIBUTING.md"))) > 9
    assert len(NAMES.findall(text_of("docs/glossary.md"))) > 30
    assert len(set(re.findall(rf"`({FOLDERS}[\w/]+\.py)", text_of("docs/architecture.md")))) > 30


@cache
def names_in(path: str) -> set[str]:
    """The names that a file defines at its top, and `Class.member` of its classes."""
    names = set()
    for node in ast.parse((ROOT / path).read_text("utf-8")).body:
        names |= set(defined(node))
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{member}" for inner in node.body for member in defined(inner)}
    return names


def defined(node: ast.stmt) -> Iterator[str]:
    """The names that a statement defines."""
    match node:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
            yield name
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name
        case ast.Assign(targets=targets):
            names = (n for target in targets for n in ast.walk(target))
            yield from (n.id for n in names if isinstance(n, ast.Name))


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    code = re.compile(r"```.*?```|`[^`]*`|^ {4}.*?$", re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", code.sub("", text_of(page))):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), f"{page}: {target}"
        if anchor:
            assert anchor in anchors(file), f"{page}: {target}"


def anchors(file: Path) -> set[str]:
    """The names that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_a_page_shows_is_understood(page: str) -> None:
    for command in commands(text_of(page)):
        make_app().parse_args(command, exit_on_error=False, print_error=False)


def test_a_command_that_is_wrong_is_found() -> None:
    [command] = commands("```console\n$ omnitrace replay runs/kitchen --presets paper\n```\n")
    with pytest.raises(CycloptsError, match="--presets"):
        make_app().parse_args(command, exit_on_error=False, print_error=False)


def commands(text: str) -> Iterator[list[str]]:
    """The arguments of every `omnitrace` command in the blocks of a page."""
    for block in re.findall(r"^```(?:console|sh)?\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for line in COMMAND.findall(block.replace("\\\n", " ")):
            arguments = shlex.split(line, comments=True)
            yield arguments[: arguments.index(">")] if ">" in arguments else arguments


def test_the_api_page_is_fresh() -> None:
    assert api_page.PAGE.read_text("utf-8") == api_page.page(), "run `python -m tests.api_page`"


@pytest.mark.parametrize("package", [omnitrace, replay])
def test_the_api_page_has_every_public_name(package: object) -> None:
    page = api_page.PAGE.read_text("utf-8")
    for name in package.__all__:  # type: ignore[attr-defined]
        assert f"### `{package.__name__}.{name}`\n" in page  # type: ignore[attr-defined]
