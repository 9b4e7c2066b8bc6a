"""Base units: the finest parts of a prompt that are taken away alone. Knows traces; no model.

Every replay unit that is a union of base units can be answered exactly: text sentences and all
that is made of them, whole images, seconds of audio, and of a video its vision and its audio each
apart; and whatever units are to be taken away as wholes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omnitrace.arrays import Bool, Int32
from omnitrace.prompt import Prompt
from omnitrace.timeline import Modality
from omnitrace.units import UnitConfig, cut_units
from omnitrace.units.request import request_tokens
from recorder.config import WHOLE


@dataclass(frozen=True)
class Base:
    """U base units of a prompt of n tokens, in the order of their first token.

    `unit_of` (n,) int32: each token's unit, -1 for what the template adds; `part`, `unit` (U,)
    int32: the content part, and the unit that is taken away as a whole, that each lies in;
    `request` (U,) bool: which of them are the request.
    """

    unit_of: Int32
    part: Int32
    unit: Int32
    request: Bool

    def __len__(self) -> int:
        return len(self.part)

    def visible(self, kept: Bool) -> Bool:
        """(M, n) tokens that are seen where the units `kept` (M, U) are."""
        shown = np.concatenate([kept, np.ones((len(kept), 1), bool)], axis=1)
        seen: Bool = shown[:, self.unit_of]  # -1 is the last column
        return seen


def base_units(prompt: Prompt, whole: UnitConfig | None = None) -> Base:
    """The base units of a prompt: those of the default `UnitConfig`, vision and audio apart, cut
    further where the units `whole`, by default `WHOLE`, cut them. SampleError as for any units."""
    fine, coarse = (
        cut_units(prompt, config).owner_of_tokens(prompt.n).astype(np.int64)
        for config in (UnitConfig(), whole or WHOLE)
    )
    apart = (fine * len(Modality) + prompt.timeline.modality) * (prompt.n + 1) + coarse + 1
    kinds, first = np.unique(apart[fine >= 0], return_index=True)
    rank = np.empty(len(kinds), np.int32)
    rank[np.argsort(first)] = np.arange(len(kinds))
    unit_of = np.full(prompt.n, -1, np.int32)
    unit_of[fine >= 0] = rank[np.searchsorted(kinds, apart[fine >= 0])]
    first_token = np.flatnonzero(fine >= 0)[np.sort(first)]
    part, unit = prompt.timeline.part[first_token], coarse[first_token].astype(np.int32)
    alone = np.flatnonzero(unit < 0)  # in none of the units: each a whole of its own
    unit[alone] = unit.max(initial=-1) + 1 + np.arange(len(alone))
    return Base(unit_of, part, unit, _request(prompt, unit_of, part))


def _request(prompt: Prompt, unit_of: Int32, part: Int32) -> Bool:
    """The units of the request (`request_tokens`); the last sentence where there is none."""
    request = np.zeros(len(part), bool)
    request[np.unique(unit_of[request_tokens(prompt) & (unit_of >= 0)])] = True
    if request.all() or not request.any():
        request[:] = False
        request[-1:] = bool(len(part)) and prompt.parts[part[-1]].kind == "text"
    return request
