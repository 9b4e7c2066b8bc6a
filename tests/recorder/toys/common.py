"""What toy checkpoints of all families share: sizes, the draw of the weights, the saved folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

hf: Any = transformers
"""Its constructors are untyped."""

ROPE = {"rope_type": "default", "rope_theta": 10_000.0}
TEXT = frozenset({"text"})
SPREAD = 0.1
"""The deviation of weights that a model's own initialisation sets to one value."""


@dataclass(frozen=True)
class Toy:
    """A family's toy checkpoint: `save` writes it to a folder; `takes`: text, image, audio, video.

    `group` is text, vision, audio or omni; `auto` names the auto class that loads the model;
    `needs` are the modules beyond the project's dependencies that its processor imports.
    """

    save: Callable[[Path], None]
    takes: frozenset[str]
    group: str
    auto: str = "AutoModelForCausalLM"
    needs: tuple[str, ...] = ()

    def __call__(self, folder: Path) -> None:
        """Write the checkpoint to `folder`."""
        self.save(folder)


def sizes(tokens: Any, **more: Any) -> dict[str, Any]:
    """A decoder of four layers, width 64, four heads and two key-value heads, over `tokens`."""
    return {
        "vocab_size": len(tokens),
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 4096,
        "initializer_range": 0.2,
        "eos_token_id": tokens.eos_token_id,
        "pad_token_id": tokens.pad_token_id,
        "bos_token_id": tokens.bos_token_id,
        **more,
    }


def draw(model: Any) -> Any:
    """`model` in evaluation mode, with no weight or bias left at one value for all its entries.

    Norms' weights of one and biases of zero would hide a factor or a term that is forgotten. The
    embeddings that Gemma multiplies are divided: tied to the output, they would repeat the input.
    """
    embeddings = model.get_input_embeddings()
    if hasattr(embeddings, "embed_scale"):
        embeddings.weight.data /= embeddings.embed_scale
    for parameter in model.parameters():
        flat = parameter.detach().flatten()
        if len(flat) > 1 and bool((flat == flat[0]).all()):
            parameter.data += SPREAD * torch.randn_like(parameter)
    return model.eval()


def checkpoint(
    build: Callable[[], tuple[Any, Any]], eos: tuple[str, ...], *, published: str | None = None
) -> Callable[[Path], None]:
    """A function that saves `build()`, a model and a processor or tokenizer, drawn with seed 0.

    `eos` are the tokens that end a generation. `published` is the tokenizer class that the
    published configuration names, where loading by it ends in another class.
    """

    def save(folder: Path) -> None:
        torch.manual_seed(0)
        model, processor = build()
        tokens = getattr(processor, "tokenizer", processor)
        ends = tokens.convert_tokens_to_ids(list(eos))
        settings = model.generation_config
        settings.eos_token_id = ends if len(ends) > 1 else ends[0]
        settings.bos_token_id = tokens.bos_token_id
        settings.pad_token_id = tokens.pad_token_id
        draw(model).save_pretrained(folder)
        processor.save_pretrained(folder)
        if published is not None:
            path = folder / "tokenizer_config.json"
            about = json.loads(path.read_text()) | {"tokenizer_class": published}
            path.write_text(json.dumps(about))

    return save
