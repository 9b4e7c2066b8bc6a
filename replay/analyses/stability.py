"""Stability: do the curated sources stay the same when the configuration changes?

Two configurations agree on a span as much as their sources overlap: |A ∩ B| / |A ∪ B| (Jaccard),
1 where both are empty. Units and spans are the chosen configuration's in all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from omnitrace.arrays import Float64
from omnitrace.config import Leaf, build, leaves, nested
from omnitrace.trace import Trace
from replay.analyses.figure import ACCENT
from replay.analyses.result import Result, Table
from replay.attribution import Replayer
from replay.config import ReplayConfig, SpanStage, UnitStage, option_names, with_stages
from replay.mass import is_recorded
from replay.stats import Estimate, pooled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BASE = "chosen"
MOST_DRAWN = 16
"""Configurations in the figure; the table has all."""
_SAME = (UnitStage, SpanStage)
"""The stages of units and spans: sources can be compared only if both are the same."""
_FIXED = option_names(*_SAME)
_FACTORS = (0.5, 2.0)


@dataclass(frozen=True)
class Stability(Result):
    """How much the sources of C configurations agree, `configs[0]` being the chosen one.

    - `agreement` (C, C): mean Jaccard over spans; `with_chosen`: by configuration;
    - `overall`: mean over pairs of different configurations and spans;
    - `samples`: mean over pairs and spans by sample id; `spans`: by sample id, over pairs;
    - `options`: by option, the least agreement that changing it alone leaves; lowest first, so
      that what matters most comes first. JSON calls it `knobs`.
    """

    title: ClassVar[str] = "What the sources depend on"

    configs: tuple[str, ...]
    agreement: Float64
    with_chosen: dict[str, Estimate]
    overall: Estimate
    samples: dict[str, float]
    spans: dict[str, tuple[float, ...]]
    options: dict[str, float]

    @property
    def empty(self) -> bool:
        return not self.samples

    def table(self) -> Table:
        rows = [(name, str(estimate)) for name, estimate in self._ranked()]
        rows.append(("all pairs", str(self.overall)))
        return Table(("what changes", "sources in common (Jaccard, 95 %)>"), tuple(rows))

    def draw(self, figure: Figure) -> None:
        ranked = self._ranked()[:MOST_DRAWN][::-1]
        figure.set_size_inches(5.4, 1.2 + 0.2 * len(ranked))
        axes = figure.subplots(1, 1, subplot_kw={"title": self.title})
        at = np.arange(len(ranked))
        value = np.array([estimate.value for _, estimate in ranked])
        around = [
            value - [estimate.low for _, estimate in ranked],
            np.array([estimate.high for _, estimate in ranked]) - value,
        ]
        axes.errorbar(value, at, xerr=np.maximum(around, 0), fmt="o", ms=4, lw=1.2, color=ACCENT)
        axes.set_yticks(at, [name for name, _ in ranked])
        axes.set(xlim=(0, 1.02), xlabel="sources in common with the chosen configuration")

    def to_dict(self) -> dict[str, Any]:
        data = super().to_dict()
        return data | {"knobs": data.pop("options")}

    def _ranked(self) -> list[tuple[str, Estimate]]:
        return sorted(self.with_chosen.items(), key=lambda item: item[1].value)


def stability(
    traces: Iterable[Trace], config: ReplayConfig, others: Mapping[str, ReplayConfig] | None = None
) -> Stability:
    """Agreement of `config` with `others` and among them; by default with a small grid around it.

    The units, tags, chunker and part of the response of `others` are replaced by those of `config`.
    """
    spans: dict[str, Float64] = {}
    compared = others
    for trace in traces:
        if compared is None:
            compared = neighbours(config, trace)
        spans[trace.id] = _agreements(trace, [config, *compared.values()], config)
    return _collect((BASE, *(compared or {})), {id: p for id, p in spans.items() if len(p)})


def neighbours(config: ReplayConfig, trace: Trace) -> dict[str, ReplayConfig]:
    """`config` with one option changed, by the option and its value: every other choice, the
    signals that `trace` has, half and twice a number, and weights that are all 1.

    Configurations that need something that `trace` lacks are left out (`is_recorded`).
    """
    changed = {
        f"{leaf.path} = {shown}": build(config, nested({leaf.path: value}), leaf.path)
        for leaf in leaves(config)
        if leaf.path.split(".")[0] not in _FIXED
        for shown, value in _others(leaf, trace)
    }
    return {
        name: other
        for name, other in changed.items()
        if other != config and is_recorded(trace, other)
    }


def _others(leaf: Leaf, trace: Trace) -> list[tuple[str, Any]]:
    """Legal values of an option, and how to show them."""
    value, known = leaf.value, leaf.field.metadata
    if leaf.path == "signal":
        return [(name, name) for name in sorted(trace.signals)]
    if isinstance(value, dict):
        return [("1", dict.fromkeys(value, 1.0))]
    if isinstance(value, str):
        return [(choice, choice) for choice in known["choices"]]
    if isinstance(value, float) and known["bounds"]:
        low, high, _ = known["bounds"]
        others = [min(max(value * factor, low), high) for factor in _FACTORS] if value else [high]
        return [(f"{other:g}", other) for other in others]
    return []


def _agreements(trace: Trace, configs: list[ReplayConfig], base: ReplayConfig) -> Float64:
    """(spans, C, C): the Jaccard of each pair's sources."""
    replayer = Replayer(trace)
    found = [replayer.attribute(with_stages(config, base, *_SAME)) for config in configs]
    held = np.zeros((len(found[0].spans), len(found), len(found[0].units)))
    for c, attribution in enumerate(found):
        for s, span in enumerate(attribution.spans):
            held[s, c, [source.unit for source in span.sources]] = 1
    return _jaccard(held)


def _jaccard(held: Float64) -> Float64:
    """(K, C, C) from sets as rows of 0 and 1, (K, C, m)."""
    both = held @ held.transpose(0, 2, 1)
    size = held.sum(axis=2)
    either = size[:, :, None] + size[:, None, :] - both
    agreement: Float64 = np.divide(both, either, out=np.ones(both.shape), where=either > 0)
    return agreement


def _collect(names: tuple[str, ...], spans: dict[str, Float64]) -> Stability:
    total = np.array([pairs.sum(axis=0) for pairs in spans.values()])
    total = total.reshape(-1, len(names), len(names))
    count = np.array([len(pairs) for pairs in spans.values()], float)
    over_pairs = {id: [_off_diagonal(pair) for pair in pairs] for id, pairs in spans.items()}
    with_chosen = {
        name: pooled(total[:, 0, c], count) for c, name in enumerate(names) if name != BASE
    }
    return Stability(
        configs=names,
        agreement=total.sum(axis=0) / count.sum() if len(count) else total.sum(axis=0) * np.nan,
        with_chosen=with_chosen,
        overall=pooled(np.array([sum(pairs) for pairs in over_pairs.values()], float), count),
        samples={id: float(np.mean(pairs)) for id, pairs in over_pairs.items()},
        spans={id: tuple(pairs) for id, pairs in over_pairs.items()},
        options=_by_option(with_chosen),
    )


def _off_diagonal(agreement: Float64) -> float:
    """The mean over pairs of different configurations; 1 if there is but one."""
    pairs = agreement[~np.eye(len(agreement), dtype=bool)]
    return float(pairs.mean()) if len(pairs) else 1.0


def _by_option(with_chosen: Mapping[str, Estimate]) -> dict[str, float]:
    least: dict[str, float] = {}
    for name, estimate in with_chosen.items():
        option = name.split(" = ")[0]
        least[option] = min(least.get(option, 1.0), estimate.value)
    return dict(sorted(least.items(), key=lambda item: item[1]))
