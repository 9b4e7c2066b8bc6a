"""The page docs/api.md, made from the docstrings: `python -m tests.api_page`.

Writes the public names of `omnitrace` and `replay` (their `__all__`) with signatures and
docstrings; tests/test_docs.py compares the page with what this writes.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from enum import Enum
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import omnitrace
import replay

PAGE = Path(__file__).parents[1] / "docs" / "api.md"
WIDTH = 88
HEAD = """\
# The Python interface

The public names of `omnitrace` and `replay`, from their docstrings. This page is made by
`python -m tests.api_page`. Names that are not on this page may change in any version.
[The glossary](glossary.md) explains the terms, [replay](replay.md#all-keys) every key of the
configuration.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(_package(package) for package in (omnitrace, replay))])


def _package(package: ModuleType) -> str:
    summary, origin = inspect.getdoc(package) or "", _origins(package)
    names = sorted(package.__all__, key=lambda name: (name.strip("_").lower(), name))
    entries = [_entry(name, getattr(package, name), origin[name], package) for name in names]
    return "\n".join([f"## `import {package.__name__}`\n", summary, "", *entries])


def _origins(package: ModuleType) -> dict[str, ModuleType]:
    """The module that each name of a package's `__init__.py` is imported from."""
    tree = ast.parse(inspect.getsource(package))
    imports = (node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module)
    return {a.name: import_module(str(n.module)) for n in imports for a in n.names}


def _entry(name: str, value: Any, origin: ModuleType, package: ModuleType) -> str:
    lines = [f"### `{package.__name__}.{name}`\n"]
    if isinstance(value, type):
        lines += [_code(_class_head(value)), *_class_text(value, package)]
    elif isinstance(value, FunctionType):
        lines += [_code(_call(name, inspect.signature(value))), inspect.getdoc(value) or "", ""]
    else:
        lines += _value(name, origin)
    return "\n".join(lines)


def _class_head(cls: type) -> str:
    bases = [base.__name__ for base in cls.__bases__ if base is not object]
    head = f"class {cls.__name__}({', '.join(bases)})" if bases else ""
    if issubclass(cls, Enum):
        return "\n".join([f"{head}:", *(f"    {m.name} = {m.value!r}" for m in cls)])
    if "__init__" not in vars(cls):
        return head
    return f"{head}\n{_call(cls.__name__, inspect.signature(cls))}".strip()


def _class_text(cls: type, package: ModuleType) -> Iterator[str]:
    """Its docstring and public members; those too that it has from a base that is not public."""
    own = [c for c in cls.__mro__ if c.__module__.split(".")[0] == package.__name__]
    for base in [c for c in own if c is cls or c.__name__ not in package.__all__]:
        if base is not cls:
            yield f"From `{base.__name__}`:\n"
        yield f"{inspect.getdoc(base)}\n"
        for name, member in vars(base).items():
            if not name.startswith("_") and inspect.getdoc(member) and _is_member(member):
                yield f"- `{_member(name, member)}`: {_indented(inspect.getdoc(member) or '')}"
        yield ""


def _is_member(member: object) -> bool:
    return isinstance(member, (FunctionType, property, classmethod))


def _member(name: str, member: Any) -> str:
    if isinstance(member, property):
        return f"{name}: {member.fget.__annotations__['return']}"
    function = member.__func__ if isinstance(member, classmethod) else member
    signature = inspect.signature(function)
    bound = list(signature.parameters.values())[1:]
    return _call(name, signature.replace(parameters=bound), width=10_000)


def _call(name: str, signature: inspect.Signature, width: int = WIDTH) -> str:
    """`name(a: int = 1) -> str`, a parameter a line if it is longer than `width`."""
    parameters: list[str] = []
    star = False
    for p in signature.parameters.values():
        if p.kind is p.KEYWORD_ONLY and not star:
            parameters, star = [*parameters, "*"], True
        value = repr(p.default)
        shown = value if len(value) < 30 and not value.startswith("<") else "..."
        default = "" if p.default is p.empty else f" = {shown}"
        parameters.append(f"{p.name}: {p.annotation}{default}")
    returned = signature.return_annotation
    result = f" -> {returned}" if isinstance(returned, str) and returned != "None" else ""
    line = f"{name}({', '.join(parameters)}){result}"
    if len(line) <= width:
        return line
    return "\n".join([f"{name}(", *(f"    {p}," for p in parameters), f"){result}"])


def _value(name: str, module: ModuleType) -> Iterator[str]:
    """The declaration of a module's value, and the string below it, which is its docstring."""
    body = ast.parse(inspect.getsource(module)).body
    [at] = [i for i, node in enumerate(body) if _assigned(node) == name]
    node, below = body[at], body[at + 1] if at + 1 < len(body) else None
    kind = node.annotation if isinstance(node, ast.AnnAssign) else None
    yield _code(f"{name}: {ast.unparse(kind)}" if kind else name)
    if isinstance(below, ast.Expr):
        yield str(ast.literal_eval(below.value))
    yield ""


def _assigned(node: ast.stmt) -> str:
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    return target.id if isinstance(target, ast.Name) else ""


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ").replace("\n  \n", "\n\n")


def _code(text: str) -> str:
    return f"```python\n{text}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
