"""A prompt as its decoder takes it: embeddings of every modality, positions, deepstack features.

The prompt passes the model once and the inputs of its decoder are kept, so that it can be passed
again with other tokens visible and no medium encoded twice. Knows transformers' decoders; not
which tokens are visible.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch.nn.functional import pad

from recorder.models.adapter import Adapter, Prepared
from recorder.passes.decoder import (
    decoder_of,
    expanded,
    last_position,
    replaced_forward,
    whole_cache,
)
from recorder.passes.generate import GenerationOptions


@dataclass(frozen=True)
class DecoderInputs:
    """The inputs of a decoder for w tokens.

    `embeds` (w, d); `positions` (w,) or (axes, w); `attend` (w,) bool: which are visible;
    `deepstack`: features added to the outputs of the first layers, (w, d) each, at the tokens
    `deepstack_at` (w,) bool; `per_layer` (w, layers, e): embeddings of the tokens for each layer,
    where the decoder has them.
    """

    embeds: torch.Tensor
    positions: torch.Tensor
    attend: torch.Tensor
    deepstack: tuple[torch.Tensor, ...] = ()
    deepstack_at: torch.Tensor | None = None
    per_layer: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.embeds)

    def select(self, tokens: torch.Tensor) -> DecoderInputs:
        """Some of the tokens, (k,) indices, with their own positions."""
        return DecoderInputs(
            self.embeds[tokens],
            self.positions[..., tokens],
            self.attend[tokens],
            tuple(layer[tokens] for layer in self.deepstack),
            None if self.deepstack_at is None else self.deepstack_at[tokens],
            None if self.per_layer is None else self.per_layer[tokens],
        )

    def append(self, embeds: torch.Tensor, per_layer: torch.Tensor | None = None) -> DecoderInputs:
        """The tokens with k tokens of text after them: `embeds` (k, d), `per_layer` (k, layers,
        e)."""
        count, last = len(embeds), self.positions[..., -1:]
        behind = last + torch.arange(1, count + 1, device=last.device)
        return DecoderInputs(
            torch.cat([self.embeds, embeds]),
            torch.cat([self.positions, behind], dim=-1),
            pad(self.attend, (0, count), value=True),
            tuple(pad(layer, (0, 0, 0, count)) for layer in self.deepstack),
            None if self.deepstack_at is None else pad(self.deepstack_at, (0, count)),
            None
            if self.per_layer is None or per_layer is None
            else torch.cat([self.per_layer, per_layer]),
        )

    def padded(self, width: int) -> DecoderInputs:
        """The tokens after padding that is not visible, `width` in all."""
        count = width - len(self)
        return DecoderInputs(
            pad(self.embeds, (0, 0, count, 0)),
            pad(self.positions, (count, 0), value=1),
            pad(self.attend, (count, 0)),
            tuple(pad(layer, (0, 0, count, 0)) for layer in self.deepstack),
            None if self.deepstack_at is None else pad(self.deepstack_at, (count, 0)),
            None if self.per_layer is None else pad(self.per_layer, (0, 0, 0, 0, count, 0)),
        )


def prompt_inputs(adapter: Adapter, prepared: Prepared) -> tuple[DecoderInputs, torch.Tensor]:
    """The prompt as `generate` gives it to the decoder, and the last token's hidden state (d,)."""
    given, hidden = dict[str, Any](), list[torch.Tensor]()
    run = decoder_of(adapter.model).forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        given.update(kwargs)
        out = last_position(run(*args, **kwargs))
        hidden.append(out.last_hidden_state[0, -1])
        return out

    _pass_prompt(adapter, prepared, forward)
    return _decoder_inputs(adapter.model, given), hidden[0]


def prompt_embeddings(adapter: Adapter, prepared: Prepared) -> torch.Tensor:
    """(n, d): the prompt's tokens as they enter the decoder, which is not run."""
    found: list[torch.Tensor] = []

    def forward(*args: Any, **kwargs: Any) -> Any:
        embeds = kwargs.get("inputs_embeds")
        if embeds is None:
            ids = kwargs["input_ids"] if kwargs.get("input_ids") is not None else args[0]
            embeds = adapter.model.get_input_embeddings()(ids)
        found.append(embeds[0])
        raise _DecoderReached

    with suppress(_DecoderReached):
        _pass_prompt(adapter, prepared, forward)
    return found[0]


class _DecoderReached(Exception):
    """The decoder is called: its inputs are known."""


def _pass_prompt(adapter: Adapter, prepared: Prepared, forward: Callable[..., Any]) -> None:
    """Send a prompt through the model, `forward` in place of its decoder's."""
    model = adapter.model
    with torch.inference_mode(), replaced_forward(decoder_of(model), forward):
        model.generate(
            **prepared.inputs,
            past_key_values=whole_cache(model.config),
            generation_config=GenerationOptions(1).config(model, sorted(adapter.eos_ids)),
        )


def embed_text(model: Any, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """What the decoder makes of text ids (k,): embeddings (k, d), and those for each layer (k,
    layers, e) where it has them."""
    decoder, embeds = decoder_of(model), model.get_input_embeddings()(ids)
    if not getattr(decoder, "hidden_size_per_layer_input", None):
        return embeds, None
    make = decoder.get_per_layer_inputs  # of ids, or of ids and embeddings
    given = (ids[None], embeds[None])[: len(signature(make).parameters)]
    return embeds, make(*given)[0]


def _decoder_inputs(model: Any, given: dict[str, Any]) -> DecoderInputs:
    embeds, per_layer = given.get("inputs_embeds"), given.get("per_layer_inputs")
    if embeds is None:
        embeds, per_layer = embed_text(model, given["input_ids"][0])
    else:
        embeds, per_layer = embeds[0], None if per_layer is None else per_layer[0]
    embeds = embeds.clone()
    positions = given.get("position_ids")
    if positions is None:
        positions = torch.arange(len(embeds), device=embeds.device)
    else:
        positions = positions[..., 0, :]
    attend = torch.ones(len(embeds), dtype=torch.bool, device=embeds.device)
    layers, deepstack_at = given.get("deepstack_visual_embeds"), given.get("visual_pos_masks")
    if layers is None or deepstack_at is None:
        return DecoderInputs(embeds, positions, attend, per_layer=per_layer)
    deepstack = []
    for layer in layers:
        spread = torch.zeros_like(embeds)
        spread[deepstack_at[0]] = layer.to(embeds.dtype)
        deepstack.append(spread)
    return DecoderInputs(embeds, positions, attend, tuple(deepstack), deepstack_at[0], per_layer)


class CachedForward:
    """A batch of rows that pass the decoder in pieces, each on top of the cache of those before."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._decoder = decoder_of(model)
        self._cache: Any = whole_cache(model.config)
        self._attend: torch.Tensor | None = None
        self._output: Any = None

    def branch(self, tokens: int, rows: int, attend: torch.Tensor | None = None) -> CachedForward:
        """`rows` rows that go on from the first `tokens` of this single row, which stays; where
        layers carry a state, `tokens` must be all. `attend` (rows, tokens) bool: which of these
        the rest of each row sees; all that this row sees if not given."""
        made = CachedForward(self._model)
        made._cache = expanded(self._cache, tokens, rows)
        assert self._attend is not None
        every = self._attend[:, :tokens].expand(rows, -1)
        made._attend = every if attend is None else attend
        return made

    def extend(self, pieces: Sequence[DecoderInputs]) -> torch.Tensor:
        """Pass the next piece of each row; its hidden states, padded on the left: (rows, width,
        d)."""
        width = max(map(len, pieces))
        rows = [piece if len(piece) == width else piece.padded(width) for piece in pieces]
        attend = torch.stack([row.attend for row in rows])
        if self._attend is not None:
            attend = torch.cat([self._attend, attend], dim=1)
        self._attend = attend
        more: dict[str, Any] = {}
        if rows[0].deepstack_at is not None:
            at = torch.stack([row.deepstack_at for row in rows if row.deepstack_at is not None])
            by_layer = zip(*(row.deepstack for row in rows), strict=True)
            layers = [torch.stack(layer)[at] for layer in by_layer]
            if at.any():
                more |= {"visual_pos_masks": at, "deepstack_visual_embeds": layers}
        if per_layer := [row.per_layer for row in rows if row.per_layer is not None]:
            more["per_layer_inputs"] = torch.stack(per_layer)
        out = self._decoder(
            inputs_embeds=torch.stack([row.embeds for row in rows]),
            position_ids=torch.stack([row.positions for row in rows], dim=-2),
            attention_mask=attend.long(),
            past_key_values=self._cache,
            use_cache=True,
            **more,
        )
        self._output = type(out)
        hidden: torch.Tensor = out.last_hidden_state
        return hidden

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """(rows, k, d) → (rows, k, vocabulary), as the model itself makes them of hidden states."""
        unused = torch.zeros(hidden.shape[:2], dtype=torch.long, device=hidden.device)
        places = unused if self._attend is None else unused + 1

        def forward(*args: Any, **kwargs: Any) -> Any:
            return self._output(last_hidden_state=hidden)

        with replaced_forward(self._decoder, forward):
            found: torch.Tensor = self._model(input_ids=unused, position_ids=places).logits
        return found
