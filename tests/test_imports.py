"""The folders import only what they may: statically over all modules, and in fresh processes.

The static contract reads every `import` and `from` of a file, those inside functions and under
TYPE_CHECKING too. It does not see modules that are imported by a string, which is how the command
joins the verbs of all folders.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

import omnitrace.cli

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "transformers", "spacy", "textual")
MUST_NOT = {
    "omnitrace": {"recorder", "replay", "tui", *HEAVY},
    "recorder": {"replay", "tui", "textual"},
    "replay": {"recorder", "tui", *HEAVY},
    "tui": {"recorder", "torch", "transformers", "spacy"},
}
"""Folder → what none of its modules imports."""
EXCEPTIONS = {
    "omnitrace.cli.benchmark": {"recorder", "replay"},
    "omnitrace.cli.confirm": {"recorder", "replay"},
    "omnitrace.cli.demo": {"recorder", "replay"},
    "omnitrace.confirm": {"recorder", "replay"},
}
"""Modules that need more than their folder may import: exactly this."""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    """Dotted name → file of every module but the tests; a package is its `__init__.py`."""
    folders = (*MUST_NOT, "benchmarks", "training")
    paths = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return {module_name(path): path for path in sorted(paths)}


def imported(source: str) -> set[str]:
    """The modules that a file's statements name; `from package import module` names the module."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module, "relative imports are not used here"
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in modules() else node.module for name in full}
    return names


@cache
def graph() -> dict[str, set[str]]:
    """Module → all modules that it imports, those of other distributions too."""
    return {name: imported(path.read_text("utf-8")) for name, path in modules().items()}


def circles(edges: dict[str, set[str]]) -> list[set[str]]:
    """Modules that reach one another, in groups: the strongly connected components above one."""
    reached = {name: reachable(edges, name) for name in edges}
    groups = {
        frozenset(other for other in reached[name] if name in reached[other])
        for name in edges
        if name in reached[name]
    }
    return sorted(map(set, groups), key=sorted)


def reachable(edges: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    todo = [start]
    while todo:
        new = (edges[todo.pop()] & edges.keys()) - found
        found |= new
        todo += new
    return found


def test_a_folder_imports_only_what_it_may() -> None:
    found = {}
    for name, imports in graph().items():
        folder = name.partition(".")[0]
        tops = {each.partition(".")[0] for each in imports}
        if forbidden := tops & MUST_NOT.get(folder, set()):
            found[name] = forbidden
    assert found == EXCEPTIONS


def test_no_two_files_import_each_other_in_a_circle() -> None:
    assert circles(graph()) == []


def test_no_verb_imports_another() -> None:
    tables = [omnitrace.cli.VERBS, *(import_module(room).VERBS for room in omnitrace.cli.ROOMS)]
    verbs = {target.split(":")[0] for table in tables for _, target, _ in table.values()}
    found = {name: graph()[name] & verbs - {name} for name in verbs - EXCEPTIONS.keys()}
    assert {name: others for name, others in found.items() if others} == {}


def test_the_contract_sees_imports_anywhere_in_a_file() -> None:
    source = """
import numpy.typing as npt
from omnitrace.store import run, open_run

if TYPE_CHECKING:
    from recorder.record import record

def late():
    import torch
"""
    expected = {"numpy.typing", "omnitrace.store.run", "omnitrace.store"}
    assert imported(source) == {*expected, "recorder.record", "torch"}
    assert {"omnitrace", "replay.curate", "tui.cli", "benchmarks.common"} <= modules().keys()


def test_circles_of_any_length_are_found() -> None:
    edges = {"a": {"b", "numpy"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"e"}, "f": {"a"}}
    assert circles(edges) == [{"a", "b", "c"}, {"e"}]


OPTIONAL = ("matplotlib", "jinja2", "pyarrow", "PIL", "rouge_score")
LAZY = {
    "omnitrace": HEAVY,
    "omnitrace.cli": HEAVY,
    "recorder": HEAVY,
    "recorder.tags": ("torch", "transformers"),
    "recorder.retag": ("torch", "transformers"),
    "recorder.segment": HEAVY,
    "recorder.segmenters.scribe": HEAVY,
    "recorder.segmenters.transcript": HEAVY,
    "recorder.datasets.write": (*HEAVY, "pyarrow"),
    "replay": HEAVY,
    "replay.baselines.run": HEAVY,
    "replay.judge": (*HEAVY, "openai", "av", "PIL"),
    "replay.analyses": (*HEAVY, *OPTIONAL),
    "replay.report.formats": (*HEAVY, *OPTIONAL),
    "tui.app": ("torch", "transformers", "spacy"),
}
"""Module → libraries, heavy or optional, that importing it does not import."""


@pytest.mark.parametrize("module", LAZY)
def test_heavy_libraries_are_imported_only_when_needed(module: str) -> None:
    code = f"import {module}, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert module in loaded
    assert sorted(loaded & set(LAZY[module])) == []
