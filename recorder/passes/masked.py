"""A given response under masks: how likely each of its tokens is when parts of the prompt are gone.

A masked token is one that no other attends to: the others keep their positions, and it need not be
computed at all. Rows that begin alike share the cache of their beginning; what begins as the whole
prompt does shares that of one pass of it. Where layers carry a state over tokens, a token that is
hidden from attention is not hidden from the state: such a decoder takes masks only as mean
embeddings. Knows prepared prompts; not which masks are wanted, nor the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch

from omnitrace.arrays import Bool, Float32, Int32, Int64
from omnitrace.errors import CommandError, SampleError
from recorder.models.adapter import Adapter, Prepared
from recorder.passes.batch import is_out_of_memory, tokens_that_fit
from recorder.passes.decoder import is_recurrent, layer_types
from recorder.passes.decoder_inputs import (
    CachedForward,
    DecoderInputs,
    embed_text,
    prompt_inputs,
)

MOST_TOKENS = 1 << 13
"""Of all rows that pass together: more make no device faster."""
LEAST_SHARED = 32
"""Tokens of a common beginning that are worth a forward pass of their own."""
SAME = 0.01
"""Relative distance within which two passes of one prompt lie, bfloat16 included."""
EARLY = 8
"""A row whose first gone token is in the first one of so many parts is not sorted by it."""


class Masked:
    """One sample's prompt, which passes the decoder many times with other tokens visible."""

    def __init__(self, adapter: Adapter, prepared: Prepared) -> None:
        self.adapter, self.model = adapter, adapter.model
        self._recurrent = is_recurrent(adapter.model.config)
        self.prompt, expected = prompt_inputs(adapter, prepared)
        modality = prepared.prompt.timeline.modality
        self._modality = torch.from_numpy(modality).to(self.model.device)
        # A window counts tokens, not positions: where there is one, nothing may be left out.
        config = self.model.config.get_text_config()
        if getattr(config, "layer_types", None):
            self.windowed = set(layer_types(config)) != {"full_attention"}
        else:
            self.windowed = bool(getattr(config, "sliding_window", None))
        self._keeps_whole = not self._recurrent  # a state cannot be cut back to a beginning
        self._whole = self._confirmed(expected)

    @torch.inference_mode()
    def _confirmed(self, expected: torch.Tensor) -> CachedForward | None:
        """The pass of the whole prompt, if it is to be kept.

        SampleError unless the last token's hidden state is as `expected` (d,): else the decoder
        has been given more than embeddings, positions and a mask.
        """
        forward = CachedForward(self.model)
        hidden = forward.extend([self.prompt])[0, -1].float()
        if (hidden - expected.float()).norm() > SAME * expected.float().norm():
            raise SampleError(
                "the model's decoder is told more of this prompt than embeddings and positions "
                "(tokens of an image that see one another, media that it embeds itself), so that "
                "its ablations cannot be recorded exactly."
            )
        return forward if self._keeps_whole else None

    def log_odds(
        self,
        response: Int32,
        visible: Bool,
        *,
        mode: str = "mask",
        report: Callable[[int], None] = lambda rows: None,
    ) -> Float32:
        """log p - log(1 - p) of each of T response tokens under M masks `visible` (M, n): (M, T).

        `mode`: `mask`, no query sees a masked token; `mean-embedding`, a masked token stays and
        has the mean embedding of its modality; `answer-mask`, the prompt sees all of itself, and
        only the queries that predict the response, from the prompt's last token on, do not see a
        masked token. `report`(rows so far) may raise. SampleError where the memory does not hold a
        single row; CommandError for masks of attention where layers carry a state.
        """
        if mode != "mean-embedding":
            self._refuse_hidden(visible)
        found = np.zeros((len(visible), len(response)), np.float32)
        order, done = _order(visible), 0
        for rows in self._batches(visible[order], len(response)):
            found[order[rows]] = self._rows(response, visible[order[rows]], mode)
            done += rows.stop - rows.start
            report(done)
        self._whole = None
        return found

    def _refuse_hidden(self, visible: Bool) -> None:
        if self._recurrent and not visible.all():
            raise CommandError(
                "the model has layers that carry a state over tokens, from which an attention mask "
                "does not hide a token, so that mode mask is not exact: use --mode mean-embedding "
                "or --mode remove."
            )

    @torch.inference_mode()
    def answers(self, visible: Bool, most: int) -> list[list[int]]:
        """What the model answers, greedily, under each mask (M, n); without the token that ends
        it. CommandError for masks where layers carry a state."""
        self._refuse_hidden(visible)
        forward = CachedForward(self.model)
        hidden = forward.extend([self._row(self.prompt, row) for row in visible])
        place, chosen = self.prompt, list[torch.Tensor]()
        while len(chosen) < most:
            chosen.append(forward.logits(hidden[:, -1:])[:, -1].argmax(-1))
            embeds, per_layer = embed_text(self.model, chosen[-1])
            place = place.append(embeds[:1], None if per_layer is None else per_layer[:1])
            last = place.select(torch.tensor([len(place) - 1]))
            own = per_layer if per_layer is None else per_layer[:, None]
            hidden = forward.extend(
                [
                    replace(last, embeds=embed[None], per_layer=None if own is None else own[row])
                    for row, embed in enumerate(embeds)
                ]
            )
        rows = torch.stack(chosen, dim=1).tolist() if chosen else [[] for _ in visible]
        return [self._until_end(row) for row in rows]

    def _until_end(self, ids: list[int]) -> list[int]:
        ends = [t for t, token in enumerate(ids) if token in self.adapter.eos_ids]
        return ids[: ends[0]] if ends else ids

    def _batches(self, visible: Bool, steps: int) -> Iterator[slice]:
        most = min(MOST_TOKENS, tokens_that_fit(self.model))
        start, widest = 0, 0
        for end, count in enumerate(visible.sum(axis=1) + steps):
            widest = max(widest, int(count))
            if end > start and (end - start + 1) * widest > most:
                yield slice(start, end)
                start, widest = end, int(count)
        yield slice(start, len(visible))

    def _rows(self, response: Int32, visible: Bool, mode: str) -> Float32:
        """A batch of rows; one that the memory does not hold, in halves."""
        try:
            return self._forward(response, visible, mode)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if len(visible) == 1 and not self._keeps_whole:
                raise SampleError("the device's memory does not hold a masked pass.") from error
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if self._keeps_whole:
            self._keeps_whole, self._whole = False, None
            return self._rows(response, visible, mode)
        half = len(visible) // 2
        parts = [self._rows(response, part, mode) for part in (visible[:half], visible[half:])]
        return np.concatenate(parts)

    @torch.inference_mode()
    def _forward(self, response: Int32, visible: Bool, mode: str) -> Float32:
        if not len(response) or not len(visible):
            return np.zeros((len(visible), len(response)), np.float32)
        given = torch.from_numpy(response.astype(np.int64)).to(self.model.device)
        inputs = self.prompt.append(*embed_text(self.model, given[:-1]))
        seen = np.pad(visible, ((0, 0), (0, len(inputs) - visible.shape[1])), constant_values=True)
        if mode == "answer-mask":
            forward, pieces = self._answering(inputs, seen, visible.shape[1] - 1)
        else:
            mean = mode == "mean-embedding"
            forward, shared = self._begun(visible, mean)
            pieces = [self._row(inputs, row, slice(shared, None), mean) for row in seen]
        hidden = forward.extend(pieces)
        return _log_odds(forward, hidden[:, -len(given) :], given)

    def _answering(
        self, inputs: DecoderInputs, seen: Bool, last: int
    ) -> tuple[CachedForward, list[DecoderInputs]]:
        """The prompt before its `last` token, unmasked in the cache but hidden from what follows;
        and for each row what follows, that token and the response."""
        whole = self._whole or self._passed(self.prompt)
        self._whole = whole if self._keeps_whole else None
        shown = torch.from_numpy(seen).to(self.model.device)
        rest = inputs.select(torch.arange(last, len(inputs), device=shown.device))
        forward = whole.branch(last, len(seen), shown[:, :last])
        return forward, [replace(rest, attend=row) for row in shown[:, last:]]

    def _begun(self, visible: Bool, mean: bool) -> tuple[CachedForward, int]:
        """A pass of the tokens that all rows begin with, and how many these are."""
        rows, n = visible.shape
        gone = np.flatnonzero(~visible.all(axis=0))
        intact = min(int(gone[0]) if len(gone) else n, n - 1)
        if self._keeps_whole and intact >= max(LEAST_SHARED, n // EARLY):
            self._whole = self._whole or self._passed(self.prompt)
            return self._whole.branch(intact, rows), intact
        shared = shared_beginning(visible)
        if not shared:
            return CachedForward(self.model), 0
        first = self._row(self.prompt, visible[0], slice(0, shared), mean)
        return self._passed(first).branch(len(first), rows), shared

    def _passed(self, inputs: DecoderInputs) -> CachedForward:
        forward = CachedForward(self.model)
        forward.extend([inputs])
        return forward

    def _row(
        self, inputs: DecoderInputs, seen: Bool, part: slice = slice(None), mean: bool = False
    ) -> DecoderInputs:
        """What a row passes of `part` of its tokens, those `seen` (w,) visible."""
        shown = torch.from_numpy(seen).to(self.model.device)
        if mean:
            inputs, shown = self._faded(inputs, shown), torch.ones_like(shown)
        tokens = torch.arange(len(inputs), device=shown.device)[part]
        if self.windowed:
            return replace(inputs, attend=shown).select(tokens)
        return inputs.select(tokens[shown[tokens]])

    def _faded(self, inputs: DecoderInputs, seen: torch.Tensor) -> DecoderInputs:
        """Every token that is not `seen` (w,) as the mean of its modality in the prompt."""
        embeds = inputs.embeds.clone()
        deepstack = tuple(layer.clone() for layer in inputs.deepstack)
        per_layer = None if inputs.per_layer is None else inputs.per_layer.clone()
        for kind in set(self._modality.tolist()):
            own = torch.nonzero(self._modality == kind)[:, 0]
            gone = own[~seen[own]]
            for values in (embeds, *deepstack, *([] if per_layer is None else [per_layer])):
                values[gone] = values[own].mean(dim=0) if len(gone) else values[gone]
        return replace(inputs, embeds=embeds, deepstack=deepstack, per_layer=per_layer)


def _order(visible: Bool) -> Int64:
    """(M,) indices that put rows with the same beginning next to each other: by their first hidden
    token if that is not early, then by how many tokens are left, so that little is padding."""
    n = visible.shape[1]
    first = np.where(visible.all(axis=1), n, visible.argmin(axis=1))
    order: Int64 = np.lexsort((visible.sum(axis=1), np.where(first < n // EARLY, 0, first)))
    return order


def shared_beginning(visible: Bool) -> int:
    """Length of the beginning that all rows share; 0 where it is too short for its own pass."""
    differ = (visible != visible[0]).any(axis=0)
    alike = int(differ.argmax()) if differ.any() else len(differ) - 1
    worth = len(visible) > 1 and int(visible[0, :alike].sum()) >= LEAST_SHARED
    return alike if worth else 0


def _log_odds(forward: CachedForward, hidden: torch.Tensor, response: torch.Tensor) -> Float32:
    """(rows, T): the logit of each token of the `response` (T,) less the log-sum-exp of all
    others."""
    rows = []
    for row in hidden:  # a row at a time: words are many
        logits = forward.logits(row[None])[0].float()
        own = logits.gather(-1, response[:, None])
        others = logits.scatter(-1, response[:, None], -torch.inf).logsumexp(-1)
        rows.append(own[:, 0] - others)
    return torch.stack(rows).cpu().numpy()
