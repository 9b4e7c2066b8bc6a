"""A trace: all that was recorded of one sample. The same class before and after the store.

Knows the timeline and its source units; neither where the arrays come from nor any model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np

from omnitrace.ablations import Ablations
from omnitrace.arrays import Array, Bool, Float32, Int32
from omnitrace.attention import HEAD_ARRAYS, QUERY_KEY_ARRAYS, HeadMass, QueryKeys
from omnitrace.errors import CommandError, SampleError, nearest
from omnitrace.prompt import Prompt
from omnitrace.thinking import thinking_range
from omnitrace.units import UnitConfig, Units, cut_units


@dataclass(frozen=True)
class SignalRows:
    """The recorded score rows of one signal of one sample.

    `values` (L · (T·n + T·(T-1)/2),) float32: for each recorded layer, row after row, row t with
    its n + t entries (prompt tokens, then the earlier response tokens). `layers` names the layer
    of each block; empty means one block already reduced over layers. `first_row` (n,) float32,
    where recorded, is another definition of step 0: the mean over all prompt queries
    (`first_step = "prompt-mean"`, reduced over layers as the signal is).
    """

    values: Float32
    layers: tuple[int, ...] = ()
    first_row: Float32 | None = None


@dataclass(frozen=True)
class Tagging:
    """The tags and sentences of a sample by another pipeline than the recorder's.

    `pos`: T UPOS tags; `sentences` (K, 2), `prompt_sentences` (P, 2) int32; all as in `Trace`.
    """

    name: str
    pos: tuple[str, ...]
    sentences: Int32
    prompt_sentences: Int32


@runtime_checkable
class Sliced(Protocol):
    """The signals of a store: some values can be read without the others."""

    def layers_of(self, name: str, /) -> tuple[int, ...]: ...

    def some_values(self, name: str, part: range, /) -> Float32: ...


@dataclass(frozen=True, kw_only=True)
class Trace(Prompt):
    """One recorded sample: a prompt of n tokens, and T generated ones.

    - the prompt's fields as in `Prompt`; `response`: str;
    - `response_ids` (T,) int32; `chars` (T, 2) int32: half-open character ranges of the steps in
      `response`;
    - `logprob`, `entropy` (T,) float32, in nats; `pos`: T UPOS tags;
    - `sentences` (K, 2) int32: character ranges in `response`, by the recorder's sentence
      splitter;
    - `meta`: JSON data of this sample: generation options, seed, the reference answer if any;
    - `signals`: name → `SignalRows`; reading one may read the disk;
    - `arrays`: what the finer levels keep, by the names that `heads` and `queries_and_keys` use,
      and `activation` (n,) float32, how massive each prompt token is (absent in older runs);
      reading one may read the disk;
    - `taggings`, `ablations`: added to the recording afterwards, by name, as `segmentations` are;
      reading one may read the disk. `RunWriter.add` stores none of the three: `Adder` does.
    """

    response: str
    response_ids: Int32
    chars: Int32
    logprob: Float32
    entropy: Float32
    pos: tuple[str, ...]
    sentences: Int32
    signals: Mapping[str, SignalRows]
    meta: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Array] = field(default_factory=dict)
    taggings: Mapping[str, Tagging] = field(default_factory=dict)
    ablations: Mapping[str, Ablations] = field(default_factory=dict)

    @property
    def T(self) -> int:
        """Number of generation steps (the paper's symbol)."""
        return len(self.response_ids)

    @property
    def thinking(self) -> tuple[int, int] | None:
        """The half-open range of characters of `response` that are thinking; None if none are.

        As recorded in `meta["thinking"]`; where nothing is recorded, as in runs that are older
        than this entry, as the response marks it. SampleError if the entry is no such range.
        """
        if "thinking" not in self.meta:
            return thinking_range(self.response)
        match self.meta["thinking"]:
            case [int(start), int(end)] if 0 <= start < end <= len(self.response):
                return start, end
        raise SampleError(
            f"sample '{self.id}': meta['thinking'] is no range [start, end] of the "
            f"{len(self.response)} characters of its response; record the sample again."
        )

    def rows(self, signal: str) -> SignalRows:
        """The recorded rows of `signal`; CommandError naming the recorded ones otherwise."""
        if signal not in self.signals:
            hint = nearest(signal, sorted(self.signals))
            raise CommandError(f"sample '{self.id}' has no signal '{signal}': {hint}.")
        return self.signals[signal]

    def scores(
        self,
        signal: str,
        layers: Sequence[int] | None = None,
        first_step: str = "query",
    ) -> Float32:
        """The score matrix a_t(i): (T, n+T) float32, row t zero from column n+t on.

        With `layers`, (L', T, n+T) of the named layers; CommandError unless these were
        recorded. A signal recorded by layer is averaged over its layers when none are named.
        `first_step="prompt-mean"` puts the mean over all prompt queries in row 0 (the paper's
        released code); CommandError where it was not recorded.
        """
        rows = self.rows(signal)
        if layers is not None:
            return self._dense(rows)[self.layer_positions(signal, layers)]
        dense: Float32 = self._dense(rows).mean(axis=0, dtype=np.float32)
        if first_step == "prompt-mean" and self.T:
            dense[0, : self.n] = self.first_row(signal)
        return dense

    def first_row(self, signal: str) -> Float32:
        """(n,) float32: the mean over all prompt queries; CommandError unless it was recorded."""
        first_row = self.rows(signal).first_row
        if first_row is None:
            raise CommandError(
                f"sample '{self.id}': the prompt-mean row of '{signal}' was not recorded; "
                'replay with first_step = "query".'
            )
        return first_row

    def layer_positions(self, signal: str, layers: Sequence[int]) -> list[int]:
        """The positions of these layers among the recorded ones; CommandError naming the recorded
        ones where some are not."""
        recorded = self.rows(signal).layers
        missing = sorted(set(layers) - set(recorded))
        if missing:
            had = f"layers {list(recorded)}" if recorded else "only the mean over layers"
            raise CommandError(
                f"sample '{self.id}': layers {missing} of '{signal}' were not recorded "
                f"({had} were); record with --level layers to choose layers at replay."
            )
        return [recorded.index(layer) for layer in layers]

    def step_scores(self, signal: str, step: int) -> Float32:
        """(L, n + step) float32: the recorded rows of one step, a layer each, or one if they were
        reduced. From a store only these are read, so that any step of a long response is read
        at once."""
        layers, read = self._reader(signal)
        block, start = cells(self.n, self.T), cells(self.n, step)
        starts = [layer * block + start for layer in range(max(1, len(layers)))]
        return np.stack([read(range(at, at + self.n + step)) for at in starts])

    def layers_of(self, signal: str) -> tuple[int, ...]:
        """The layers that a signal was recorded by, without reading it; none if it was reduced."""
        return self._reader(signal)[0]

    def heads(self) -> HeadMass:
        """Attention of every layer and head, pooled to units; CommandError unless recorded."""
        return HeadMass(**{f: self._array(name, "heads") for name, f in HEAD_ARRAYS.items()})

    def queries_and_keys(self) -> QueryKeys:
        """What every attention statistic can be computed from; CommandError unless recorded."""
        return QueryKeys(**{f: self._array(name, "qk") for name, f in QUERY_KEY_ARRAYS.items()})

    def ablation(self, name: str) -> Ablations:
        """The ablations of that name; SampleError naming those that exist otherwise."""
        if name not in self.ablations:
            hint = nearest(name, sorted(self.ablations))
            raise SampleError(
                f"sample '{self.id}' has no ablations '{name}': {hint}. "
                "`omnitrace ablate-inputs` records some."
            )
        return self.ablations[name]

    def tagged(self, name: str) -> Trace:
        """This trace with the tags and sentences of that name in place of the recorded ones.

        The empty name stands for the recorded ones; SampleError naming those that exist otherwise.
        """
        if not name:
            return self
        if name not in self.taggings:
            hint = nearest(name, sorted(self.taggings))
            raise SampleError(
                f"sample '{self.id}' has no tags '{name}': {hint}. `omnitrace tag` adds some."
            )
        tags = self.taggings[name]
        return replace(
            self,
            pos=tags.pos,
            sentences=tags.sentences,
            prompt_sentences=tags.prompt_sentences,
        )

    def units(self, config: UnitConfig) -> Units:
        """The source units of the prompt, cut from the stored timeline as `config` says."""
        return cut_units(self, config)

    def _reader(self, signal: str) -> tuple[tuple[int, ...], Callable[[range], Float32]]:
        """The layers of a signal, and how to read some of its values."""
        stored = self.signals
        if signal in stored and isinstance(stored, Sliced):
            return stored.layers_of(signal), partial(stored.some_values, signal)
        rows = self.rows(signal)
        return rows.layers, lambda part: rows.values[part.start : part.stop]

    def _array(self, name: str, level: str) -> Array:
        if name not in self.arrays:
            raise CommandError(
                f"sample '{self.id}' was not recorded at level {level}; record it again with "
                f"--level {level}."
            )
        return self.arrays[name]

    def _dense(self, rows: SignalRows) -> Float32:
        dense = np.zeros((max(1, len(rows.layers)), self.T, self.n + self.T), np.float32)
        dense[:, causal_mask(self.n, self.T)] = rows.values.reshape(len(dense), -1)
        return dense


def cells(n: int, steps: int) -> int:
    """How many scores the first `steps` rows of a prompt of n tokens hold."""
    return steps * n + steps * (steps - 1) // 2


def causal_mask(n: int, steps: int) -> Bool:
    """(steps, n+steps) bool: which columns step t may score, i < n + t."""
    columns = np.arange(n + steps)
    return columns[None, :] < (n + np.arange(steps))[:, None]


def pack_rows(dense: Float32, n: int) -> Float32:
    """Flatten (T, n+T) or (L, T, n+T) scores to the ragged `SignalRows.values`."""
    steps = dense.shape[-2]
    return np.ascontiguousarray(dense[..., causal_mask(n, steps)], np.float32).reshape(-1)
