"""The result of an analysis: arrays with a table, a figure and JSON data. Knows no analysis."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnitrace.arrays import Float64

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Table:
    """A table for people; a column whose name ends in `>` holds numbers."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Result(ABC):
    """The result of an analysis: a frozen dataclass of arrays, numbers and names."""

    title: ClassVar[str]

    @property
    @abstractmethod
    def empty(self) -> bool:
        """Whether nothing in the run answers the question."""

    @abstractmethod
    def table(self) -> Table:
        """The numbers that people read."""

    @abstractmethod
    def draw(self, figure: Figure) -> None:
        """Draw into an empty matplotlib figure."""

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON data, in their order; null for what is not a number."""
        data: dict[str, Any] = _plain(self)
        return data


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def percent(share: float) -> str:
    """`41.3 %`; a dash for what is not a number."""
    return f"{100 * share:.1f} %" if math.isfinite(share) else "–"


def number(value: float) -> str:
    """Three decimals; a dash for what is not a number."""
    return f"{value:.3f}" if math.isfinite(value) else "–"


def rows_of_bins(
    edges: Float64, count: Float64, predicted: Float64, true: Float64, low: Float64, high: Float64
) -> list[tuple[str, ...]]:
    """A table's rows of the bins of `replay.stats.bins_of` that are not empty."""
    return [
        (
            f"{edges[b]:.1f} to {edges[b + 1]:.1f}",
            f"{count[b]:.0f}",
            percent(predicted[b]),
            f"{percent(true[b])} [{percent(low[b])}, {percent(high[b])}]",
        )
        for b in np.flatnonzero(count)
    ]
