"""Tests use no private name of another module, unless a comment `# private:` says why.

The comment stands on the line of the use or on the line before. A test that needs a private name
tests through the public function, or the name is a unit of its own and is made public.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
NAMED_TUPLE = {"_asdict", "_fields", "_make", "_replace"}
"""Public, in spite of their names."""
BY_STRING = {"setattr", "getattr", "delattr", "hasattr", "patch", "object"}
"""Functions whose strings may name an attribute."""


def is_private(name: str) -> bool:
    return any(re.match(r"_[^_]", part) for part in name.split("."))


def is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in {"self", "cls"}


def defined(tree: ast.Module) -> set[str]:
    """Functions, classes, methods and attributes of `self` that are a file's own."""
    names = set(NAMED_TUPLE)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Attribute) and is_self(node.value):
            names |= {node.attr} if isinstance(node.ctx, ast.Store) else set()
    return names


def named(node: ast.AST) -> list[str]:
    """The names of other modules' that a node uses, private or not."""
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.Attribute) and not is_self(node.value):
        return [node.attr]
    if isinstance(node, ast.Call):
        function = getattr(node.func, "attr", getattr(node.func, "id", ""))
        texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
        if function in BY_STRING:
            return [text for text in texts if isinstance(text, str) and " " not in text]
    return []


def uses(source: str) -> Iterator[str]:
    """`line: name` of each private name that is another module's and not excused."""
    tree, lines = ast.parse(source), ["", *source.splitlines()]
    own = defined(tree)
    for node in ast.walk(tree):
        for name in named(node):
            if is_private(name) and name not in own:
                line = node.lineno  # type: ignore[attr-defined]
                if "# private: " not in lines[line - 1] + lines[line]:
                    yield f"{line}: {name}"


def test_tests_use_no_private_name_of_another_module() -> None:
    paths = sorted(TESTS.rglob("*.py"))
    assert Path(__file__) in paths
    found = {str(path.relative_to(TESTS)): [*uses(path.read_text("utf-8"))] for path in paths}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from a.b import _c", ["1: a.b._c"]),
        ("import a._b", ["1: a._b"]),
        ("x = a._b.c", ["1: _b"]),
        ("patch('a._b', 1)", ["1: a._b"]),
        ("monkeypatch.setattr(a, '_b', 1)", ["1: _b"]),
        ("# private: a has no other\nx = a._b", []),
        ("x = a._b  # private: a has no other", []),
        ("class A:\n    def f(self):\n        self._b = self._c", []),
        ("class A:\n    def _f(self): ...\nA()._f()", []),
        ("from __future__ import annotations\nx = a.__dict__, a._replace(b=1)", []),
    ],
)
def test_private_names_are_found(source: str, found: list[str]) -> None:
    assert list(uses(source)) == found
