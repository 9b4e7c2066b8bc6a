"""Command-line flags from a configuration's fields, and the parameters that many verbs share.

Every leaf of a configuration is one flag, so that none is written twice. A `TypedDict` of the
leaves tells cyclopts what to parse and gives back only what the user set, so that the file
overrides the preset, and the flags override the file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict, TypeVar

from cyclopts import Parameter

from omnitrace.config import build, load_toml

C = TypeVar("C")
F = TypeVar("F", bound=Callable[..., int])

RunPath = Annotated[Path, Parameter(help="the folder of a run")]
PresetName = Annotated[
    str,
    Parameter(help="default, paper or release; the file and then the flags override its keys"),
]
ConfigFile = Annotated[
    Path | None, Parameter(help="a TOML file of configuration keys, as the browser saves it")
]
KeysFile = Annotated[
    Path | None, Parameter(help="a TOML file of the keys below; the flags override it")
]


def flags_of(config: Any) -> Callable[[F], F]:
    """Decorator: the verb's parameter `given` collects the flags of every leaf of `config`."""

    def annotate(verb: F) -> F:
        verb.__annotations__["given"] = Annotated[_leaves(config) | None, Parameter(name="*")]
        return verb

    return annotate


def layered(config: C, file: Path | None, given: dict[str, Any] | None) -> C:
    """`config`, overridden by the TOML `file` and then by the flags `given`; checked by `build`."""
    if file is not None:
        config = load_toml(config, file)
    return build(config, given or {}, "command line")


def _leaves(config: Any) -> Any:
    leaves = {field.name: _leaf(field, config) for field in dataclasses.fields(config)}
    return TypedDict(type(config).__name__, leaves, total=False)  # type: ignore[operator]


def _leaf(field: dataclasses.Field[Any], config: Any) -> Any:
    value = getattr(config, field.name)
    if dataclasses.is_dataclass(value):
        return _leaves(value)
    choices = field.metadata["choices"]
    kind: Any = Literal[choices] if choices else type(value)
    if isinstance(value, dict):
        kind = dict[str, float]
    return Annotated[kind, Parameter(help=_help(field, value))]


def _help(field: dataclasses.Field[Any], value: Any) -> str:
    bounds = field.metadata["bounds"]
    legal = f" ({bounds[0]:g} to {bounds[1]:g})" if bounds else ""
    default = "" if isinstance(value, dict) else f" [default: {value}]"
    return f"{field.metadata['help']}{legal}{default}"
