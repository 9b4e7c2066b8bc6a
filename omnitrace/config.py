"""Configuration as frozen dataclasses: the one source of flags, TOML keys, TUI controls and docs.

A field made by `option` carries its help and its legal values. `build` parses foreign mappings
(TOML, JSON) strictly; inside, a config is trusted. Knows nothing of what is configured.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from omnitrace.errors import CommandError, nearest

C = TypeVar("C")


def option(
    default: Any,
    help: str,
    *,
    bounds: tuple[float, float, float] | None = None,
    choices: tuple[str, ...] = (),
    form: tuple[str, str] | None = None,
) -> Any:
    """A dataclass field with its help and legal values.

    `bounds` is (min, max, step) of a number; `choices` are the legal strings, or the legal keys of
    a table of weights (each from 0 to 1); `form` is the regular expression that all of a string
    matches, and the same in words.
    """
    metadata = {"help": help, "bounds": bounds, "choices": choices, "form": form}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Leaf:
    """One value of a configuration: `path` is its TOML key with its tables, joined by dots."""

    path: str
    field: dataclasses.Field[Any]
    value: Any


def leaves(config: Any, prefix: str = "") -> Iterator[Leaf]:
    """Every value of a tree of dataclasses, in field order; a table of weights is one value."""
    for field in dataclasses.fields(config):
        value, path = getattr(config, field.name), prefix + field.name
        if dataclasses.is_dataclass(value):
            yield from leaves(value, f"{path}.")
        else:
            yield Leaf(path, field, value)


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by dotted key as nested tables, as `build` takes them."""
    tables: dict[str, Any] = {}
    for key, value in values.items():
        *path, last = key.split(".")
        table = tables
        for name in path:
            table = table.setdefault(name, {})
        table[last] = value
    return tables


def flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as values by dotted key, the inverse of `nested`; an empty one is a value."""
    values: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, dict) and value:
            values |= flat(value, f"{prefix}{key}.")
        else:
            values[f"{prefix}{key}"] = value
    return values


def build(base: C, values: Mapping[str, Any], where: str) -> C:
    """`base` with `values` in place of its own, nested tables in nested configs.

    Raises CommandError naming `where`, the key and the legal values: unknown keys, wrong types,
    numbers out of bounds, unknown choices.
    """
    known = {f.name: f for f in dataclasses.fields(base)}  # type: ignore[arg-type]
    types = get_type_hints(type(base))
    changes: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            raise CommandError(f"{where}: unknown key '{key}'; {nearest(key, list(known))}.")
        current = getattr(base, key)
        if dataclasses.is_dataclass(current):
            changes[key] = build(current, _table(value, f"{where}: {key}"), f"{where}: {key}")
        elif isinstance(current, dict):
            changes[key] = {**current, **_weights(known[key], value, f"{where}: {key}")}
        else:
            changes[key] = _parse(known[key], types[key], value, f"{where}: {key}")
    return dataclasses.replace(base, **changes)  # type: ignore[type-var]


def load_toml(base: C, path: Path) -> C:
    """`base` with the values of a TOML file; CommandError if it cannot be read."""
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise CommandError(f"cannot read the configuration {path}: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise CommandError(f"the configuration {path} is not TOML: {error}.") from error
    return build(base, values, str(path))


def to_dict(config: Any) -> dict[str, Any]:
    """The config as plain JSON data, in field order."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    return plain


def to_toml(config: Any) -> str:
    """The config as a TOML file that `load_toml` reads back to an equal one."""
    return "\n".join(_toml_lines(to_dict(config), ())) + "\n"


def _toml_lines(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    """A table's own values under its header, then the tables in it."""
    inner = {key: value for key, value in table.items() if isinstance(value, dict)}
    lines = [f"{key} = {_toml_value(table[key])}" for key in table if key not in inner]
    if path:
        lines = ["", f"[{'.'.join(path)}]", *lines]
    for key, value in inner.items():
        lines += _toml_lines(value, (*path, key))
    return lines


def _toml_value(value: Any) -> str:
    """JSON's spelling, which TOML shares but for DEL and escaped surrogates."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")


def digest(config: Any) -> str:
    """sha256 of the canonical JSON of a config: a cache key."""
    canonical = json.dumps(to_dict(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise CommandError(f"{where}: expected a table of keys, got {value!r}.")
    return value


def _parse(field: dataclasses.Field[Any], kind: Any, value: Any, where: str) -> Any:
    default = field.default
    if isinstance(default, bool) or kind is bool:
        return _check(isinstance(value, bool), value, where, "true or false")
    if isinstance(default, str):
        return _string(field, value, where)
    return _number(field, default, value, where)


def _string(field: dataclasses.Field[Any], value: Any, where: str) -> Any:
    choices, (pattern, words) = field.metadata["choices"], field.metadata["form"] or (None, "")
    right = isinstance(value, str) and value in (choices or (value,))
    if right and pattern is not None:
        right = re.fullmatch(pattern, value) is not None
    return _check(right, value, where, words or ", ".join(choices) or "a string")


def _number(field: dataclasses.Field[Any], default: Any, value: Any, where: str) -> Any:
    low, high, _ = field.metadata["bounds"]
    integer = isinstance(default, int)
    right = isinstance(value, int if integer else (int, float)) and not isinstance(value, bool)
    legal = f"{'a whole number' if integer else 'a number'} from {low:g} to {high:g}"
    _check(right and low <= value <= high, value, where, legal)
    return value if integer else float(value)


def _weights(field: dataclasses.Field[Any], value: Any, where: str) -> dict[str, float]:
    table, legal = _table(value, where), field.metadata["choices"]
    for key, weight in table.items():
        if legal and key not in legal:
            raise CommandError(f"{where}: unknown key '{key}'; {nearest(key, list(legal))}.")
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        _check(number and 0 <= weight <= 1, weight, f"{where}: {key}", "a number from 0 to 1")
    return {key: float(weight) for key, weight in table.items()}


def _check(right: bool, value: Any, where: str, legal: str) -> Any:
    if not right:
        raise CommandError(f"{where}: {value!r} is not legal; legal: {legal}.")
    return value
