"""Baselines (paper, App. C.2): their options, and what a method of either kind can do.

Shared by replay, which runs baselines and reads their results, and the recorder, which has those
that need a model. Knows no method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from omnitrace.arrays import Float64
from omnitrace.chunks import Chunks
from omnitrace.config import option
from omnitrace.trace import Trace

Chat = Sequence[Mapping[str, Any]]
"""Messages as of a chat completion: {role, content}, content a text or a list of parts."""


@runtime_checkable
class Comparer(Protocol):
    """A baseline that compares sentences with sources."""

    def similarities(self, trace: Trace, chunks: Chunks) -> Float64:
        """(K, L) float64, NaN for pairs that it cannot compare; OmniTraceError for the sample."""


@runtime_checkable
class Answerer(Protocol):
    """A baseline that answers a question about a sample in words."""

    def answer(self, trace: Trace, chat: Chat) -> str:
        """The answer to `chat`, whose media parts are {type: kind, index: place among the media of
        the sample}; OmniTraceError for the sample."""


@dataclass(frozen=True)
class BaselineConfig:
    """The options of all baselines; each reads its own part."""

    samples: str = option("", "embedding, clip, self: the samples file that was recorded")
    model: str = option(
        "",
        "embedding, self: the recorded model, empty: the bundled one; clip: a CLIP checkpoint, "
        "empty: openai/clip-vit-large-patch14",
    )
    revision: str = option("", "the model's commit on the hub; empty: the newest")
    trust_remote_code: bool = option(
        False, "run the code that the model brings; of the hub's only with --revision, in full"
    )
    tokenizer: str = option(
        "", "embedding, self: the folder of the run's --tokenizer, if it had one"
    )
    chat_template: str = option(
        "", "embedding, self: the file of the run's --chat-template, if it had one"
    )
    date: str = option(
        "",
        "embedding, self: the day YYYY-MM-DD that the chat template was told, where the run does "
        "not keep it",
    )
    seed: int = option(0, "random: of the draws", bounds=(0, 2**63 - 1, 1))
    time: bool = option(False, "random: draw for bins of time too, which the paper does not")
    max_new_tokens: int = option(1024, "self: longest answer, in tokens", bounds=(1, 1_000_000, 64))
    dtype: str = option(
        "auto",
        "embedding, self: precision of the weights; auto: as stored",
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    quantize: str = option(
        "no", "embedding, self: load the weights in 8 or 4 bits", choices=("no", "8bit", "4bit")
    )
    device: str = option("auto", "cpu, cuda, cuda:1 …; auto: a GPU if there is one")
    device_map: str = option("", "embedding, self: spread the layers over several GPUs")
