"""Grid files: which configurations a sweep tries (docs/sweeps.md).

TOML in, checked configurations out: every value is tried on the configuration that it will be a
part of, so that an illegal one is named before anything is computed.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from omnitrace.config import build, digest, leaves, nested
from omnitrace.errors import CommandError, nearest
from replay.config import ReplayConfig

MOST = 100_000
"""Configurations of one sweep."""
TABLES = ("base", "grid", "random")
_DRAWS = ("samples", "seed")

Values = dict[str, Any]
"""Dotted key → value."""


@dataclass(frozen=True)
class Grid:
    """The configurations of a sweep, each once, and the dotted keys that vary among them."""

    keys: tuple[str, ...]
    configs: tuple[ReplayConfig, ...]


def read_grid(path: Path, base: ReplayConfig) -> Grid:
    """The grid of a file; CommandError naming the key and the legal values.

    Values of its table `[base]` replace those of `base`.
    """
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise CommandError(f"cannot read the grid {path}: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise CommandError(f"the grid {path} is not TOML: {error}.") from error
    return parse_grid(document, base, str(path))


def parse_grid(document: Mapping[str, Any], base: ReplayConfig, where: str) -> Grid:
    """As `read_grid`, of a parsed file.

    `[base]` replaces values of `base`; `[grid]` has a list of values by key, and every combination
    is tried; `[random]` has `samples` draws from lists or ranges; with both, every combination with
    every draw.
    """
    for name in document:
        if name not in TABLES:
            raise CommandError(f"{where}: unknown table '{name}'; {nearest(name, list(TABLES))}.")
    tables = {name: _table(document, name, where) for name in TABLES}
    base = build(base, tables["base"], f"{where}: [base]")
    draws = {name: tables["random"].pop(name) for name in _DRAWS if name in tables["random"]}
    lists = _flat(tables["grid"], base)
    ranges = _flat(tables["random"], base)
    _check(lists, ranges, base, where)
    count, seed = _draws(draws, ranges, where)
    if not lists and not ranges:
        raise CommandError(f"{where}: nothing varies; give keys in [grid] or [random].")
    if prod(map(len, lists.values())) * count > MOST:
        raise CommandError(f"{where}: more than {MOST:,} configurations; take fewer values.")
    drawn = list(_drawn(ranges, count, seed, base))
    combined = product(*lists.values())
    values = [{**dict(zip(lists, v, strict=True)), **draw} for v in combined for draw in drawn]
    configs = {digest(c): c for c in (build(base, nested(v), where) for v in values)}
    return Grid((*lists, *ranges), tuple(configs.values()))


def _table(document: Mapping[str, Any], name: str, where: str) -> Values:
    table = document.get(name, {})
    if not isinstance(table, dict):
        raise CommandError(f"{where}: [{name}] must be a table of keys, not {table!r}.")
    return dict(table)


def _flat(table: Mapping[str, Any], base: Any, prefix: str = "") -> Values:
    """Nested tables as dotted keys: `units.image` whether it was written with a dot or under
    [grid.units]. A table that is no part of the configuration is a value, as {min, max} is."""
    flat: Values = {}
    for key, value in table.items():
        head, _, rest = key.partition(".")
        inner = getattr(base, head, None) if not isinstance(base, dict) else None
        if rest and inner is not None:
            flat |= _flat({rest: value}, inner, f"{prefix}{head}.")
        elif isinstance(value, dict) and not {"min", "max"} & set(value) and inner is not None:
            flat |= _flat(value, inner, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _check(lists: Values, ranges: Values, base: ReplayConfig, where: str) -> None:
    """CommandError unless every value is legal by itself and no key is in both tables."""
    for table, values in (("grid", lists), ("random", ranges)):
        for key, value in values.items():
            at = f"{where}: [{table}] {key}"
            if table == "grid" and (not isinstance(value, list) or not value):
                raise CommandError(f"{at} must be a list of values, not {value!r}.")
            for one in _ends(value, at):
                build(base, nested({key: one}), f"{where}: [{table}]")
    for key in sorted(set(lists) & set(ranges)):
        raise CommandError(f"{where}: {key} is both in [grid] and in [random]; keep one.")


def _ends(value: Any, at: str) -> list[Any]:
    """What must be legal for all of `value` to be."""
    if isinstance(value, list) and value:
        return value
    if not isinstance(value, dict) or set(value) != {"min", "max"}:
        raise CommandError(f"{at} must be a list of values or {{min = …, max = …}}, not {value!r}.")
    numbers = [end for end in value.values() if isinstance(end, int | float)]
    if len(numbers) < 2 or value["min"] > value["max"]:
        raise CommandError(f"{at}: min and max must be numbers, min not above max, not {value!r}.")
    return [value["min"], value["max"]]


def _draws(draws: Values, ranges: Values, where: str) -> tuple[int, int]:
    """How many draws, and their seed; one draw of nothing without [random]."""
    for name, value in draws.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < (name == "samples"):
            legal = "a whole number from 1" if name == "samples" else "a whole number from 0"
            raise CommandError(f"{where}: [random] {name}: {value!r} is not legal; legal: {legal}.")
    if ranges and "samples" not in draws:
        raise CommandError(f"{where}: [random] needs samples = how many to draw.")
    if draws and not ranges:
        raise CommandError(f"{where}: [random] names no key to draw.")
    return draws.get("samples", 1), draws.get("seed", 0)


def _drawn(ranges: Values, count: int, seed: int, base: ReplayConfig) -> Iterator[Values]:
    """`count` draws, each key independent and uniform; whole numbers where the key has them."""
    rng = random.Random(seed)
    whole = {leaf.path for leaf in leaves(base) if isinstance(leaf.value, int)}
    for _ in range(count):
        yield {key: _draw(rng, value, key in whole) for key, value in ranges.items()}


def _draw(rng: random.Random, value: Any, whole: bool) -> Any:
    if isinstance(value, list):
        return rng.choice(value)
    draw = rng.randint if whole else rng.uniform
    return draw(value["min"], value["max"])
