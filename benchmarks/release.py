"""The paper's release, literally, on our models: eager attention, one signal a run, steps held.

`attmean` and `rawatt` from `output_attentions` of one generation each; `attgrads` by a forward and
a backward pass over the whole prefix for every step. The peer that benchmarks run beside us.
"""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.thinker import Thinker
from recorder.models.adapter import Prepared


def generate(thinker: Thinker, prepared: Prepared, steps: int) -> Any:
    """One generation that keeps every attention tensor."""
    with torch.inference_mode():
        return thinker.model.generate(
            **prepared.inputs,
            max_new_tokens=steps,
            do_sample=False,
            output_attentions=True,
            return_dict_in_generate=True,
        )


def attention_signal(thinker: Thinker, prepared: Prepared, steps: int, last: bool) -> torch.Tensor:
    """`rawatt` if `last`, else `attmean`: (T, n) float32, as the release cuts it to the prompt."""
    out, n = generate(thinker, prepared, steps), prepared.prompt.n
    rows = []
    for layers in out.attentions:
        taken = layers[-1:] if last else layers
        mean = torch.stack([layer[0].float().mean(dim=(0, 1)) for layer in taken]).mean(dim=0)
        rows.append(mean[:n])
    return torch.stack(rows)


def gradient_signal(thinker: Thinker, prepared: Prepared, response: list[int]) -> torch.Tensor:
    """`attgrads` of the last layer: (T, n) float32, a whole forward and backward pass a step."""
    model, ids = thinker.model, prepared.inputs["input_ids"]
    model.get_input_embeddings().weight.requires_grad_(True)
    rows = []
    for step, token in enumerate(response):
        before = torch.tensor([response[:step]], dtype=torch.long, device=ids.device)
        prefix = torch.cat([ids, before], dim=1)
        out = model(input_ids=prefix, output_attentions=True, use_cache=False)
        attention = out.attentions[-1]
        gradient = torch.autograd.grad(out.logits[0, -1, token], attention)[0]
        product = (attention * gradient)[0, :, -1].mean(dim=0).clamp_min(0)
        rows.append(product[: ids.shape[1]].detach().float())
    model.get_input_embeddings().weight.requires_grad_(False)
    return torch.stack(rows)
