"""AttnLRP by LXT 2.1: one forward pass, and one backward pass a span, of the sum of its logits.

A token's relevance is the sum of its embedding times the gradient of LXT's rules (Achtibat et al.
2024, arXiv:2402.05602), signed. LXT replaces methods of transformers' classes for all models of the
process, so that nothing else may run in it. It comes with a patent note: a peer, no dependency.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.peers.held import TextModel, masses_of_spans, recorded_ids
from omnitrace.errors import OmniTraceError
from replay.methods import AttributionTask

Float64 = npt.NDArray[np.float64]

FAMILIES = {"llama": "llama", "gemma3_text": "gemma3"}
"""transformers' model type → the module of LXT and of transformers."""
_PATCHED: set[str] = set()
MOST_OFF = 1e-3
"""By which the logits under LXT's rules may differ: its rules change gradients alone."""


class AttnLRP:
    """A checkpoint under LXT's rules."""

    def __init__(self, folder: Path) -> None:
        self.text = TextModel.load(folder)
        ids = torch.tensor([[1, 2, 3, 5, 8, 13, 21, 34]])
        with torch.inference_mode():
            before = self.text.model(input_ids=ids).logits
            patch(self.text.model.config.model_type)
            off = float((self.text.model(input_ids=ids).logits - before).abs().max())
        if off > MOST_OFF:
            raise OmniTraceError(f"LXT's rules change the logits, by {off}.")

    def scores(self, task: AttributionTask) -> Float64:
        """(K, m): signed relevance, in sum over a unit."""
        trace, model = task.trace, self.text.model
        ids = torch.tensor([recorded_ids(trace)[:-1]])
        embeds = model.get_input_embeddings()(ids).detach().requires_grad_()
        asked = model(inputs_embeds=embeds, use_cache=False, logits_to_keep=trace.T)
        logits = asked.logits[0]
        said = torch.from_numpy(trace.response_ids.astype(np.int64))
        chosen = logits.gather(1, said[:, None])[:, 0]
        rows = []
        for steps in torch.from_numpy(task.steps):
            [gradient] = torch.autograd.grad(chosen[steps].sum(), embeds, retain_graph=True)
            rows.append((embeds.detach() * gradient)[0, : trace.n].sum(dim=-1).numpy())
        return masses_of_spans(task, np.array(rows).reshape(len(rows), trace.n))

    def calls(self, task: AttributionTask) -> int:
        """A forward pass; a backward pass a span is counted as one, though it costs two."""
        return 1 + len(task.spans)


def patch(model_type: str) -> None:
    """Lay LXT's rules over transformers' classes of that type; OmniTraceError if it has none.

    Once in a process: rules that are laid over attention twice divide its gradients twice.
    """
    if model_type not in FAMILIES:
        raise OmniTraceError(f"LXT is set up here for {', '.join(FAMILIES)}, not {model_type}.")
    if model_type in _PATCHED:
        return
    _PATCHED.add(model_type)
    _without_other_families()
    family = FAMILIES[model_type]
    rules: Any = importlib.import_module(f"lxt.efficient.models.{family}")
    lxt: Any = importlib.import_module("lxt.efficient.patches")
    target: Any = importlib.import_module(f"transformers.models.{family}.modeling_{family}")
    for what, how in rules.attnLRP.items():
        if what is not target:
            how(what)
    # LXT 2.1 puts a plain dict in the place of transformers' table of attention functions, which
    # transformers 5 asks by a method; eager attention is looked up by its name in the module.
    target.eager_attention_forward = lxt.wrap_attention_forward(target.eager_attention_forward)


def _without_other_families() -> None:
    """Let `lxt.efficient` be imported: its BERT module wants functions that transformers 5 lacks.

    An empty package stands for `lxt.efficient.models`, whose `__init__` imports every family.
    """
    spec = find_spec("lxt")
    if spec is None or spec.origin is None:
        raise OmniTraceError("lxt is not installed: see docs/faithfulness.md, Peers.")
    stand_in = ModuleType("lxt.efficient.models")
    stand_in.__path__ = [str(Path(spec.origin).parent / "efficient" / "models")]
    stand_in.get_default_map = lambda module: {}  # type: ignore[attr-defined]
    sys.modules.setdefault("lxt.efficient.models", stand_in)
