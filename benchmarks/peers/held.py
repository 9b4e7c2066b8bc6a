"""A released text model held to recorded tokens: peers that take texts get the recorded ids.

A text that is tokenized again need not give the tokens that were recorded, and scores would then be
those of other tokens. Knows a checkpoint and token ids; no peer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BatchEncoding

from omnitrace.errors import OmniTraceError
from omnitrace.trace import Trace
from replay.methods import AttributionTask

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TextModel:
    """A checkpoint in float32 on the CPU, and its tokenizer."""

    model: Any
    tokenizer: Any

    @classmethod
    def load(cls, folder: Path, attention: str = "eager") -> TextModel:
        """The checkpoint of a folder; `attention` is transformers' name of the implementation."""
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation=attention
        )
        return cls(loaded.eval(), AutoTokenizer.from_pretrained(folder))


class HeldTokenizer:
    """A tokenizer that knows the recorded ids of the texts that it has given, and no others."""

    def __init__(self, tokenizer: Any) -> None:
        self._inner = tokenizer
        self._known: dict[str, list[int]] = {}
        self.eos_token, self.eos_token_id = tokenizer.eos_token, tokenizer.eos_token_id

    def hold(self, ids: Sequence[int]) -> str:
        """A text whose tokens are `ids`: their own characters; and the same with the end token."""
        text = self.decode(ids)
        self._known[text] = list(ids)
        self._known[text + self.eos_token] = [*ids, self.eos_token_id]
        return text

    def decode(self, ids: Any, **options: Any) -> str:
        """The characters of the single tokens in a row."""
        return "".join(self._pieces(ids))

    def _pieces(self, ids: Any) -> list[str]:
        return [self._inner.decode([int(one)]) for one in ids]

    def __call__(
        self,
        text: str,
        return_tensors: str | None = None,
        return_offsets_mapping: bool = False,
        **options: Any,
    ) -> Any:
        """The ids of a text that was held, and the range of characters of each."""
        ids = self._known.get(text)
        if ids is None:
            raise OmniTraceError("the peer asks for the tokens of a text that was not recorded.")
        data: dict[str, Any] = {"input_ids": [ids] if return_tensors else ids}
        if return_offsets_mapping:
            ends = np.cumsum([0, *map(len, self._pieces(ids))]).tolist()
            data["offset_mapping"] = list(pairwise(ends))
        return BatchEncoding(data, tensor_type=return_tensors)


def recorded_ids(trace: Trace) -> list[int]:
    """The n + T ids of prompt and response."""
    return [*trace.prompt_ids.tolist(), *trace.response_ids.tolist()]


def aligned(scores: Float64, ids: Sequence[int], recorded: Sequence[int]) -> Float64:
    """(len(recorded), T): rows of `scores` (len(ids), T), a row of zeros for what `ids` leaves out.

    inseq leaves out what has the id of the padding token, which ends every turn of SmolLM2's chats.
    OmniTraceError unless `ids` are the recorded ones less some.
    """
    found, at = np.zeros((len(recorded), scores.shape[1])), 0
    for row, one in enumerate(recorded):
        if at < len(ids) and ids[at] == one:
            found[row] = scores[at]
            at += 1
    if at < len(ids):
        raise OmniTraceError("the peer's tokens are not the recorded ones.")
    return found


def masses_of_spans(task: AttributionTask, scores: npt.NDArray[np.floating[Any]]) -> Float64:
    """(K, m) from a row of scores of the n prompt tokens for each span, in sum over a unit."""
    owner = task.units.owner_of_tokens(task.trace.n)
    member = (owner[:, None] == np.arange(len(task.units))).astype(np.float64)
    masses: Float64 = np.asarray(scores, np.float64) @ member
    return masses
