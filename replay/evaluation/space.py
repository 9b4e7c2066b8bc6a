"""The judging space: the labels of one prompt on which every attribution of it is judged.

Fixed by the recording and the length of a bin, whatever the source units of a replay, so that
configurations with different units compare. Knows no truth and no attribution.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from omnitrace.arrays import Bool, Float64, Int32, UInt8
from omnitrace.errors import SampleError
from omnitrace.timeline import Modality
from omnitrace.trace import Trace
from omnitrace.units import UnitConfig, Units

MODALITIES = ("text", "image", "audio", "video")
"""In the order of `Modality`, so that a label's kind is its column."""
COLUMNS = (*MODALITIES, "all")
_FUZZ = 1e-6
_MOST_BINS = 10**6


@dataclass(frozen=True)
class Space:
    """The L labels of one prompt: its recorded sentences, then its media in order.

    A label is (text, sentence), (image, medium), or (audio | video, medium, bin of time); a
    video's audio and vision share its bins.

    - `kind` (L,) uint8: a `Modality`, that of the medium; `medium` (L,) int32, -1 for text;
    - `start_s`, `end_s` (L,) float64: the bin, NaN for text and images;
    - `of_token` (n,) int32: the text label that each prompt token belongs to, -1 for none;
    - `present` (4,) bool: which of `MODALITIES` the prompt has.
    """

    kind: UInt8
    medium: Int32
    start_s: Float64
    end_s: Float64
    of_token: Int32
    present: Bool

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def texts(self) -> int:
        """How many of the labels are sentences; they come first."""
        return int(np.count_nonzero(self.kind == Modality.TEXT))

    def claims(self, units: Units) -> Bool:
        """(m, L) bool: which labels each unit overlaps, and so claims when it is a source.

        Text by shared tokens; an image by any part of it; bins by the unit's seconds, all bins of
        its medium where it has none. A unit that is never named claims nothing.
        """
        claimed = np.zeros((len(units), len(self)), np.bool_)
        lengths = units.ranges[:, 1] - units.ranges[:, 0]
        unit = np.repeat(units.owner, lengths)
        before = np.cumsum(lengths) - lengths
        token = np.arange(len(unit)) + np.repeat(units.ranges[:, 0] - before, lengths)
        label = self.of_token[token]
        claimed[unit[label >= 0], label[label >= 0]] = True
        media = np.flatnonzero(units.medium >= 0)
        claimed[media] |= self._reached(
            units.medium[media], units.start_s[media], units.end_s[media]
        )
        claimed[units.unnamed] = False
        return claimed

    def stretch(self, medium: int, start_s: float = np.nan, end_s: float = np.nan) -> Bool:
        """(L,) bool: the bins of a medium that [start_s, end_s) overlaps; all of them by default.

        An image is claimed whole.
        """
        one = np.array([medium], np.int32)
        reached: Bool = self._reached(one, np.array([start_s]), np.array([end_s]))[0]
        return reached

    def _reached(self, medium: Int32, start_s: Float64, end_s: Float64) -> Bool:
        """(m, L): the labels of `medium` (m,) that [start_s, end_s) overlaps; NaN: all of them."""
        start, end = start_s[:, None], end_s[:, None]
        overlaps = (self.end_s > start + _FUZZ) & (self.start_s < end - _FUZZ)
        whole = np.isnan(self.start_s) | np.isnan(start)
        reached: Bool = (self.medium == medium[:, None]) & (whole | overlaps)
        return reached


def judging_space(trace: Trace, seconds: float = 1.0) -> Space:
    """The space of `trace`, time cut into bins of `seconds` from 0 to the end of its medium.

    SampleError if that would be more than a million bins.
    """
    of_token, words = prompt_sentences(trace)
    bins = [_bins(trace, medium, seconds) for medium in range(len(trace.media))]
    sizes = [len(words), *map(len, bins)]
    kinds = [Modality.TEXT, *(Modality[medium.kind.upper()] for medium in trace.media)]
    start = np.concatenate([np.full(len(words), np.nan), *bins])
    has_text = bool((trace.timeline.modality == Modality.TEXT).any())
    return Space(
        kind=np.repeat(np.array(kinds, np.uint8), sizes),
        medium=np.repeat(np.arange(-1, len(bins), dtype=np.int32), sizes),
        start_s=start,
        end_s=start + seconds,
        of_token=of_token,
        present=np.array([has_text, *(kind in kinds[1:] for kind in list(Modality)[1:4])]),
    )


def prompt_sentences(trace: Trace) -> tuple[Int32, tuple[str, ...]]:
    """The text labels: that of each prompt token (n,) int32, -1 for none, and their words."""
    units = trace.units(UnitConfig(text="sentence"))
    text = np.flatnonzero(units.modality == Modality.TEXT).tolist()
    label = np.full(len(units) + 1, -1, np.int32)
    label[text] = np.arange(len(text))
    of_token = label[units.owner_of_tokens(trace.n)]  # -1, no unit, is the last label
    return of_token, tuple(units.text[unit] or "" for unit in text)


def _bins(trace: Trace, medium: int, seconds: float) -> Float64:
    """Where the bins of a medium start; one NaN for an image."""
    known = trace.media[medium]
    if known.kind == "image":
        return np.array([np.nan])
    bins = max(1, ceil(duration_of(trace, medium) / seconds - _FUZZ))
    if bins > _MOST_BINS:
        raise SampleError(
            f"sample '{trace.id}': its {known.kind} '{known.name}' has {bins} bins of {seconds:g} "
            f"s; at most {_MOST_BINS} are judged. Choose longer ones."
        )
    return np.arange(bins, dtype=np.float64) * seconds


def duration_of(trace: Trace, medium: int) -> float:
    """Seconds of a medium: as recorded, else until its last token ends."""
    known = trace.media[medium].duration_s
    if known is not None:
        return known
    ends = trace.timeline.end_s[trace.timeline.medium == medium]
    return float(np.nanmax(ends, initial=0.0))
