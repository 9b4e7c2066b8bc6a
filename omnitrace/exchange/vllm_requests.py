"""What vLLM-Hook does not save: each request's tokens, and the attention of its model.

JSON lines, one a request, read strictly. Knows nothing of queries and keys.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from omnitrace.errors import OmniTraceError
from omnitrace.store.commit import ILLEGAL_JSON, Unreadable
from omnitrace.store.files import LARGEST_DOCUMENT
from omnitrace.text import one_line

PLAIN = (
    "gpt2",
    "granite",
    "llama",
    "mistral",
    "mixtral",
    "olmo2",
    "opt",
    "phi3",
    "qwen2",
    "qwen2_moe",
    "qwen3",
    "qwen3_moe",
)
"""Model types whose attention in vLLM is softmax(q kᵀ · scaling) of what vLLM-Hook saves."""

LogProb = Annotated[float, Meta(ge=-1e30, le=1e30)]
TokenId = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Layers = Annotated[int, Meta(ge=1, le=2**16)]


class Model(Struct, frozen=True):
    """The entries of the model's `config.json` that its attention depends on; not the others."""

    model_type: str
    num_hidden_layers: Layers | None = None
    n_layer: Layers | None = None
    attention_multiplier: Annotated[float, Meta(gt=0, le=1e6)] | None = None
    sliding_window: Annotated[int, Meta(ge=1)] | None = None
    use_sliding_window: bool = True
    attn_logit_softcapping: Any = None
    dual_chunk_attention_config: Any = None

    @property
    def layers(self) -> int:
        """How many layers the model has; Unreadable if that is absent."""
        found = self.num_hidden_layers or self.n_layer
        if found is None:
            raise Unreadable("its config names no num_hidden_layers")
        return found

    def check(self, tokens: int) -> None:
        """Unreadable where attention among so many tokens is more than its queries and keys."""
        if self.model_type not in PLAIN:
            raise Unreadable(
                f"the attention of a {one_line(self.model_type)!r} may be more than its queries "
                f"and keys; exact are {', '.join(PLAIN)}"
            )
        if self.attn_logit_softcapping is not None or self.dual_chunk_attention_config is not None:
            raise Unreadable("its model caps scores or attends by chunks, which is not exact here")
        if self.sliding_window and self.use_sliding_window and tokens > self.sliding_window:
            raise Unreadable(
                f"its {tokens} tokens are more than the model's sliding window of "
                f"{self.sliding_window}, which vLLM-Hook does not save for each layer"
            )


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    """One request: `run_id` names its folder; tokens by id and by the tokenizer's name."""

    run_id: str
    model: str
    config: Model
    prompt_token_ids: Annotated[list[TokenId], Meta(min_length=1)]
    prompt_tokens: list[str]
    token_ids: list[TokenId]
    tokens: list[str]
    logprobs: list[LogProb] | None = None
    id: str | None = None

    def check(self) -> None:
        """Unreadable unless every token has its name, and every step its log-probability."""
        ids, answer = len(self.prompt_token_ids), len(self.token_ids)
        for name, values, count in (
            ("prompt_tokens", self.prompt_tokens, ids),
            ("tokens", self.tokens, answer),
            ("logprobs", self.logprobs, answer),
        ):
            if values is not None and len(values) != count:
                raise Unreadable(f"it has {len(values)} {name} for {count} token ids")


def read_requests(path: Path) -> list[Request]:
    """Every line; OmniTraceError naming file and line where one is not legal, or there is none."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_DOCUMENT + 1)
    except OSError as error:
        raise OmniTraceError(f"cannot read {path}: {error.strerror or error}.") from error
    if len(data) > LARGEST_DOCUMENT:
        raise OmniTraceError(f"{path} holds more than {LARGEST_DOCUMENT} bytes.")
    found = [
        _request(line, f"{path}, line {number}")
        for number, line in enumerate(data.split(b"\n"), 1)
        if line.strip()
    ]
    if not found:
        raise OmniTraceError(f"{path} holds no requests; docs/importing.md says what a line is.")
    for number, request in enumerate(found, 1):
        if request.model != found[0].model:
            raise OmniTraceError(f"{path}: request {number} is of another model than the first.")
    return found


def _request(line: bytes, where: str) -> Request:
    try:
        found = msgspec.json.decode(line, type=Request)
        found.check()
    except (Unreadable, *ILLEGAL_JSON) as error:
        raise OmniTraceError(f"{where}: {one_line(str(error), 300)}.") from error
    return found
