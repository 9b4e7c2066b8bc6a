"""Captum on the live model, in every modality: ablation, Shapley, and gradients.

Units are taken away by masking language-model positions; gradients are those of the embeddings that
the decoder is given, whatever they were made of. Knows Captum and the recorder's passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from captum.attr import FeatureAblation, InputXGradient, Saliency, ShapleyValueSampling

from recorder.inputs.samples import Sample
from recorder.models.adapter import Adapter
from recorder.passes.decoder_inputs import CachedForward, DecoderInputs, prompt_inputs
from recorder.passes.masked import Masked
from replay.methods import AttributionTask

Float64 = npt.NDArray[np.float64]

PERMUTATIONS = 8


class Live:
    """The model under Captum; counts its passes, by sample."""

    def __init__(self, adapter: Adapter, samples: Iterable[Sample]) -> None:
        self.adapter = adapter
        self.samples = {sample.id: sample for sample in samples}
        self._passes: dict[str, int] = {}

    def ablation(self, task: AttributionTask) -> Float64:
        """(K, m): what leaving out each unit costs, in nats."""
        return self._perturbed(task, FeatureAblation)

    def shapley(self, task: AttributionTask) -> Float64:
        """(K, m): Shapley values from PERMUTATIONS orders of the units, in nats."""
        torch.manual_seed(0)
        return self._perturbed(task, ShapleyValueSampling, n_samples=PERMUTATIONS)

    def saliency(self, task: AttributionTask) -> Float64:
        """(K, m): Σ |∂ lp / ∂ embedding| over a unit's tokens and their dimensions."""
        return self._gradients(task, Saliency)

    def input_x_gradient(self, task: AttributionTask) -> Float64:
        """(K, m): Σ embedding · ∂ lp / ∂ embedding, signed."""
        return self._gradients(task, InputXGradient)

    def calls(self, task: AttributionTask) -> int:
        """Passes that the last method took for this sample."""
        return self._passes[task.trace.id]

    def _prepared(self, task: AttributionTask) -> Any:
        self._passes[task.trace.id] = 0
        return self.adapter.prepare(self.samples[task.trace.id])

    def _perturbed(self, task: AttributionTask, make: Callable[[Any], Any], **more: Any) -> Float64:
        trace = task.trace
        passing = Masked(self.adapter, self._prepared(task))
        owner = task.units.owner_of_tokens(trace.n)
        steps = torch.from_numpy(task.steps).double()

        def spans(kept: torch.Tensor) -> torch.Tensor:
            """(rows, K) log-probabilities under masks of units (rows, m)."""
            shown = np.append(kept.numpy() > 0.5, np.ones((len(kept), 1), bool), axis=1)
            self._passes[trace.id] += len(kept)
            odds = passing.log_odds(trace.response_ids, shown[:, owner])
            return -torch.nn.functional.softplus(-torch.from_numpy(odds).double()) @ steps.T

        every, count = torch.ones(1, len(task.units)), len(task.spans)
        rows = [make(spans).attribute(every, target=k, **more)[0] for k in range(count)]
        return _stacked(rows, (count, len(task.units)))

    def _gradients(self, task: AttributionTask, make: Callable[[Any], Any]) -> Float64:
        trace = task.trace
        said = torch.from_numpy(trace.response_ids.astype(np.int64))
        inputs = _laid(self.adapter, self._prepared(task), said)
        steps = torch.from_numpy(task.steps).float()

        def spans(embeds: torch.Tensor) -> torch.Tensor:
            """(1, K) log-probabilities of the embeddings (1, w, d)."""
            self._passes[trace.id] += 1
            passing = CachedForward(self.adapter.model)
            hidden = passing.extend([replace(inputs, embeds=embeds[0])])[:, -len(said) :]
            logprob = passing.logits(hidden)[0].log_softmax(-1).gather(1, said[:, None])
            return (steps @ logprob).T

        given, count = inputs.embeds[None].requires_grad_(), len(task.spans)
        rows = [make(spans).attribute(given, target=k)[0].detach() for k in range(count)]
        owner = task.units.owner_of_tokens(trace.n)
        member = torch.from_numpy(owner[:, None] == np.arange(len(task.units))).float()
        sums = [row[: trace.n].sum(dim=-1) @ member for row in rows]
        return _stacked(sums, (count, len(task.units)))


def _laid(adapter: Adapter, prepared: Any, said: torch.Tensor) -> DecoderInputs:
    """Prompt and response on their way into the decoder, as tensors that gradients may reach."""
    inputs, _ = prompt_inputs(adapter, prepared)
    with torch.no_grad():
        inputs = inputs.append(adapter.model.get_input_embeddings()(said[:-1]))
        return replace(
            inputs,
            embeds=inputs.embeds.clone(),
            positions=inputs.positions.clone(),
            attend=inputs.attend.clone(),
        )


def _stacked(rows: list[torch.Tensor], shape: tuple[int, int]) -> Float64:
    return np.array([row.numpy() for row in rows], np.float64).reshape(shape)
