"""A prompt as its decoder takes it: embeddings of every modality, positions, deeper features.

The prompt passes the model once and what its decoder is given is kept, so that it can be passed
again with other tokens visible and no medium encoded twice. Knows transformers' decoders; not
which tokens are visible.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch.nn.functional import pad

from recorder.models.adapter import Adapter, Prepared
from recorder.passes.decoder import decoder_of, expanded, whole_cache
from recorder.passes.draw import Options


@dataclass(frozen=True)
class Strip:
    """w tokens on their way into a decoder.

    `embeds` (w, d); `positions` (w,) or (axes, w); `attend` (w,) bool: which are visible; `deep`:
    what is added to the outputs of the first layers, (w, d) each, at the tokens `deep_at` (w,);
    `layered` (w, layers, e): embeddings of the tokens for each layer, where the decoder has them.
    """

    embeds: torch.Tensor
    positions: torch.Tensor
    attend: torch.Tensor
    deep: tuple[torch.Tensor, ...] = ()
    deep_at: torch.Tensor | None = None
    layered: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.embeds)

    def at(self, tokens: torch.Tensor) -> Strip:
        """Some of the tokens, (k,) indices, with their own positions."""
        return Strip(
            self.embeds[tokens],
            self.positions[..., tokens],
            self.attend[tokens],
            tuple(layer[tokens] for layer in self.deep),
            None if self.deep_at is None else self.deep_at[tokens],
            None if self.layered is None else self.layered[tokens],
        )

    def then(self, embeds: torch.Tensor, layered: torch.Tensor | None = None) -> Strip:
        """The tokens with k tokens of text after them: `embeds` (k, d), `layered` (k, layers,
        e)."""
        count, last = len(embeds), self.positions[..., -1:]
        behind = last + torch.arange(1, count + 1, device=last.device)
        return Strip(
            torch.cat([self.embeds, embeds]),
            torch.cat([self.positions, behind], dim=-1),
            pad(self.attend, (0, count), value=True),
            tuple(pad(layer, (0, 0, 0, count)) for layer in self.deep),
            None if self.deep_at is None else pad(self.deep_at, (0, count)),
            None if self.layered is None or layered is None else torch.cat([self.layered, layered]),
        )

    def padded(self, width: int) -> Strip:
        """The tokens after padding that is not visible, `width` in all."""
        count = width - len(self)
        return Strip(
            pad(self.embeds, (0, 0, count, 0)),
            pad(self.positions, (count, 0), value=1),
            pad(self.attend, (count, 0)),
            tuple(pad(layer, (0, 0, count, 0)) for layer in self.deep),
            None if self.deep_at is None else pad(self.deep_at, (count, 0)),
            None if self.layered is None else pad(self.layered, (0, 0, 0, 0, count, 0)),
        )


def lay(adapter: Adapter, prepared: Prepared) -> tuple[Strip, torch.Tensor]:
    """The prompt as `generate` gives it to the decoder, and the last token's hidden state (d,)."""
    model, given, found = adapter.model, dict[str, Any](), list[torch.Tensor]()
    decoder = decoder_of(model)
    whole = decoder.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        given.update(kwargs)
        out = _last(whole(*args, **kwargs))
        found.append(out.last_hidden_state[0, -1])
        return out

    with torch.inference_mode(), _instead(decoder, forward):
        model.generate(
            **prepared.inputs,
            past_key_values=whole_cache(model.config),
            generation_config=Options(max_new_tokens=1).config(model, sorted(adapter.eos_ids)),
        )
    return _strip(model, given), found[0]


def embedded(model: Any, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """What the decoder makes of text ids (k,): embeddings (k, d), and those for each layer (k,
    layers, e) where it has them."""
    decoder, embeds = decoder_of(model), model.get_input_embeddings()(ids)
    if not getattr(decoder, "hidden_size_per_layer_input", None):
        return embeds, None
    make = decoder.get_per_layer_inputs  # of ids, or of ids and embeddings
    given = (ids[None], embeds[None])[: len(signature(make).parameters)]
    return embeds, make(*given)[0]


def _strip(model: Any, given: dict[str, Any]) -> Strip:
    embeds, layered = given.get("inputs_embeds"), given.get("per_layer_inputs")
    if embeds is None:
        embeds, layered = embedded(model, given["input_ids"][0])
    else:
        embeds, layered = embeds[0], None if layered is None else layered[0]
    embeds = embeds.clone()
    positions = given.get("position_ids")
    if positions is None:
        positions = torch.arange(len(embeds), device=embeds.device)
    else:
        positions = positions[..., 0, :]
    attend = torch.ones(len(embeds), dtype=torch.bool, device=embeds.device)
    layers, deep_at = given.get("deepstack_visual_embeds"), given.get("visual_pos_masks")
    if layers is None or deep_at is None:
        return Strip(embeds, positions, attend, layered=layered)
    deep = []
    for layer in layers:
        spread = torch.zeros_like(embeds)
        spread[deep_at[0]] = layer.to(embeds.dtype)
        deep.append(spread)
    return Strip(embeds, positions, attend, tuple(deep), deep_at[0], layered)


class Pass:
    """A batch of rows that pass the decoder piece by piece, each piece seeing those before."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._decoder = decoder_of(model)
        self._cache: Any = whole_cache(model.config)
        self._attend: torch.Tensor | None = None
        self._output: Any = None

    def branch(self, tokens: int, rows: int) -> Pass:
        """`rows` rows that go on from the first `tokens` of this single row, which stays; where
        layers carry a state, `tokens` must be all."""
        made = Pass(self._model)
        made._cache = expanded(self._cache, tokens, rows)
        assert self._attend is not None
        made._attend = self._attend[:, :tokens].expand(rows, -1)
        return made

    def go_on(self, strips: Sequence[Strip]) -> torch.Tensor:
        """The hidden states of each row's next tokens, padded on the left: (rows, width, d)."""
        width = max(map(len, strips))
        rows = [strip if len(strip) == width else strip.padded(width) for strip in strips]
        attend = torch.stack([row.attend for row in rows])
        if self._attend is not None:
            attend = torch.cat([self._attend, attend], dim=1)
        self._attend = attend
        deep = {}
        if rows[0].deep_at is not None:
            at = torch.stack([row.deep_at for row in rows if row.deep_at is not None])
            layers = [torch.stack(layer)[at] for layer in zip(*(r.deep for r in rows), strict=True)]
            deep = {"visual_pos_masks": at, "deepstack_visual_embeds": layers} if at.any() else {}
        more: dict[str, Any] = dict(deep)
        if layered := [row.layered for row in rows if row.layered is not None]:
            more["per_layer_inputs"] = torch.stack(layered)
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
        """(rows, k, d) → (rows, k, words), as the model itself makes them of what `go_on` gave."""
        unused = torch.zeros(hidden.shape[:2], dtype=torch.long, device=hidden.device)
        places = unused if self._attend is None else unused + 1

        def forward(*args: Any, **kwargs: Any) -> Any:
            return self._output(last_hidden_state=hidden)

        with _instead(self._decoder, forward):
            found: torch.Tensor = self._model(input_ids=unused, position_ids=places).logits
        return found


@contextmanager
def _instead(decoder: Any, forward: Any) -> Iterator[None]:
    """While inside, the decoder does `forward`."""
    own = vars(decoder).get("forward")
    decoder.forward = forward
    try:
        yield
    finally:
        if own is None:
            del decoder.forward
        else:
            decoder.forward = own


def _last(out: Any) -> Any:
    out.last_hidden_state = out.last_hidden_state[:, -1:]
    return out
