"""How massive the activation of each prompt token is, which marks attention sinks.

A sink is a token whose residual stream has a few values that are larger than those of other tokens
by orders of magnitude (Sun et al., arXiv 2402.17762). Which tokens these are depends on the model
and the prompt, not on their characters. Knows decoders; no attention, no sample and no store.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from omnitrace.arrays import Float32
from recorder.passes.decoder import decoder_layers
from recorder.passes.observers import Lengths

ACTIVATION = "activation"
"""The name of the array among a trace's."""


class Activation:
    """The largest |x_d| of each prompt token at the input of each decoder layer from the first
    quarter of the depth on, for a batch.

    Earlier layers are left out: there many tokens peak that draw no attention (in Gemma 3 every
    comma). Later ones are all read, for sinks may lose their peak on the way (SmolLM2's " the" have
    theirs in layers 3 to 12 of 30).
    """

    def __init__(self, model: Any, lengths: Lengths) -> None:
        layers = decoder_layers(model)
        self._layers = layers[len(layers) // 4 :]
        self.lengths = lengths
        self._peaks: list[list[torch.Tensor]] = [[] for _ in self._layers]
        self._hooks: list[Any] = []

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While inside, the prompts that pass the decoder are read; no token after them."""
        self._hooks = [
            layer.register_forward_pre_hook(self._reader(place), with_kwargs=True)
            for place, layer in enumerate(self._layers)
        ]
        try:
            yield
        finally:
            self._end()

    def values(self, sample: int) -> Float32 | None:
        """(n,) float32: each token's peak over that of the median token of the prompt, in the layer
        where this is most. None if the decoder's layers are not known.

        About 1 for most tokens, at most about 2 for all that are not massive.
        """
        if not all(self._peaks) or not self._peaks:
            return None
        pad = self.lengths.pads[sample]
        peaks = torch.stack([torch.cat(kept, dim=1)[sample, pad:].cpu() for kept in self._peaks])
        usual = peaks.median(dim=1, keepdim=True).values.clamp_min(torch.finfo().tiny)
        found: Float32 = (peaks / usual).amax(dim=0).numpy()
        return found

    def _reader(self, place: int) -> Any:
        def read(layer: Any, args: tuple[Any, ...], given: dict[str, Any]) -> None:
            hidden = args[0] if args else given["hidden_states"]
            if hidden.dim() == 4:  # several streams side by side, of which the first is active
                hidden = hidden[0]
            kept = self._peaks[place]
            kept.append(hidden.detach().abs().amax(dim=-1).float())
            if place == len(self._peaks) - 1 and self._width() >= self.lengths.width:
                self._end()

        return read

    def _width(self) -> int:
        return sum(peak.shape[1] for peak in self._peaks[-1])

    def _end(self) -> None:
        """Hooks cost time at every step of the answer, which they do not read."""
        for hook in self._hooks:
            hook.remove()
