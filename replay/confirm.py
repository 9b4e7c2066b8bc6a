"""Which source units are worth removing one at a time: the best of each span, not yet tested.

Knows attributions and recorded removals; passes no model.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from omnitrace.ablations import SingleUnits
from omnitrace.trace import Trace
from replay.attribution import Attribution, Replayer, Span
from replay.config import ReplayConfig
from replay.faithfulness.verdict import removals
from replay.mapping import visible_steps


def units_to_remove(trace: Trace, config: ReplayConfig, top: int) -> SingleUnits:
    """The `top` best units of each span of `trace` under `config`, each once.

    Units whose removal is recorded already, by whatever name, are left out. OmniTraceError as
    `replay.attribute`.
    """
    found = Replayer(trace).attribute(replace(config, confirmed="off"))
    done = removals(trace, found.units, visible_steps(trace)).tested
    best = {unit for span in found.spans for unit in ranked(found, span)[:top]}
    owner = found.units.owner_of_tokens(trace.n)
    removed = tuple(unit for unit in sorted(best) if not done[unit])
    return SingleUnits(owner, found.units.unnamed, removed)


def ranked(attribution: Attribution, span: Span) -> list[int]:
    """All units that may be named, the sources of the span first, then by their mass over it."""
    mass = attribution.mass[slice(*span.steps)].sum(axis=0, dtype=np.float64)
    sources = [source.unit for source in span.sources]
    named = ~attribution.units.unnamed
    rest = [unit for unit in np.argsort(-mass, kind="stable").tolist() if named[unit]]
    return list(dict.fromkeys([*sources, *rest]))
