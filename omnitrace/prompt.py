"""A prompt: the input tokens of a model, and what each of them is.

Knows no response and no model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from omnitrace.arrays import Int32
from omnitrace.errors import SampleError, nearest
from omnitrace.timeline import Medium, Part, Segmentation, Timeline


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """The n prompt tokens of one sample.

    - `id`: the user's sample id, data and never a path; `prompt_text`: str;
    - `prompt_ids` (n,) int32; `timeline`, `parts`, `media`: what each token is, and what
      the user gave;
    - `prompt_sentences` (P, 2) int32: character ranges in `prompt_text`, by the recorder's
      sentence splitter;
    - `segmentations`: added to the recording afterwards, by name; reading one may read the disk.
    """

    id: str
    prompt_text: str
    prompt_ids: Int32
    timeline: Timeline
    parts: tuple[Part, ...]
    media: tuple[Medium, ...]
    prompt_sentences: Int32 = field(default_factory=lambda: np.zeros((0, 2), np.int32))
    segmentations: Mapping[str, Segmentation] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """Number of prompt tokens."""
        return len(self.prompt_ids)

    def segmentation(self, name: str) -> Segmentation:
        """The segmentation of that name; SampleError naming those that exist otherwise."""
        if name not in self.segmentations:
            hint = nearest(name, sorted(self.segmentations))
            raise SampleError(
                f"sample '{self.id}' has no segmentation '{name}': {hint}. "
                "`omnitrace segment` adds one."
            )
        return self.segmentations[name]
