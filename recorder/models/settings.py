"""How a recording loads a model and writes its prompts: `Weights` and `Settings`.

Loads torch only where weights are loaded, so that wrong settings are refused before that. Knows the
arguments of `from_pretrained` and of chat templates; no particular model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnitrace.errors import CommandError
from recorder.config import RecordConfig

if TYPE_CHECKING:
    import torch

EXAMPLE = '{"enable_thinking": false}'
NOT_ARGUMENTS = {
    "conversation": "the samples file has the messages",
    "messages": "the samples file has the messages",
    "tools": "the samples file has the tools",
    "chat_template": "--chat-template takes a template",
    "add_generation_prompt": "it follows from the last message of a sample",
    "continue_final_message": "it follows from the last message of a sample",
    "fps": "--fps is the frame rate",
    "strftime_now": "--date is the day",
}
"""Names that would change more than the template's text → where to say it instead."""
CALL = frozenset(
    {
        "audio_kwargs",
        "bos_token",
        "common_kwargs",
        "do_sample_frames",
        "eos_token",
        "images_kwargs",
        "load_audio_from_video",
        "mask_token",
        "max_length",
        "num_frames",
        "pad_token",
        "padding",
        "processor_kwargs",
        "return_assistant_tokens_mask",
        "return_dict",
        "return_tensors",
        "sampling_rate",
        "sanitize_control_tokens",
        "template_kwargs",
        "text_kwargs",
        "tokenize",
        "tokenizer_kwargs",
        "truncation",
        "unk_token",
        "videos_kwargs",
    }
)
"""Other parameters of transformers' `apply_chat_template`, and names of special tokens."""


@dataclass(frozen=True)
class Weights:
    """`dtype`, `device`, `device_map` and `quantize` as in RecordConfig."""

    dtype: str = "auto"
    device: str = "auto"
    device_map: str = ""
    quantize: str = "no"

    @classmethod
    def of(cls, config: RecordConfig) -> Weights:
        return cls(config.dtype, config.device, config.device_map, config.quantize)

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments of the model's `from_pretrained`."""
        import torch
        import transformers

        kind = "auto" if self.dtype == "auto" else getattr(torch, self.dtype)
        options: dict[str, Any] = {"dtype": kind}
        if self.device_map:
            options["device_map"] = self.device_map
        if self.quantize != "no":
            quantized: Any = transformers.BitsAndBytesConfig
            bits = {f"load_in_{self.quantize}": True}
            options["quantization_config"] = quantized(**bits)
            options.setdefault("device_map", {"": choose_device(self.device)})
        return options

    def place(self, model: Any) -> Any:
        """The loaded model on its device, for inference."""
        if "device_map" not in self.options:
            model = model.to(choose_device(self.device))
        return model.eval().requires_grad_(False)


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one; CommandError for what torch does not know or have."""
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise CommandError(
            f"device '{name}' cannot be used here: {first_sentence(error)} "
            "Legal: auto, cpu, cuda, cuda:0 …"
        ) from error
    return device


def first_sentence(error: BaseException) -> str:
    """The first sentence of an error of another library, on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.split(". ")[0].rstrip(".")[:200] + "."


@dataclass(frozen=True)
class Settings:
    """How an adapter makes prompts.

    `fps`: frames a second taken from a video; `template_args`: keyword arguments of the chat
    template; `chat_template`: Jinja source used in place of the checkpoint's, empty: its own;
    `min_pixels`, `max_pixels`: bounds on the pixels of an image or frame, None: no bound of ours;
    `date`: the day YYYY-MM-DD that chat templates are told, empty: that on which each is rendered.
    """

    fps: float = 2.0
    template_args: Mapping[str, Any] = field(default_factory=dict)
    chat_template: str = ""
    min_pixels: int | None = None
    max_pixels: int | None = None
    date: str = ""

    @classmethod
    def of(cls, config: RecordConfig) -> Settings:
        """CommandError for wrong --template-args and --date and an unreadable --chat-template."""
        return cls(
            config.fps,
            template_args(config.template_args),
            read_chat_template(config.chat_template),
            config.min_pixels or None,
            config.max_pixels or None,
            read_date(config.date),
        )

    @property
    def identity(self) -> dict[str, Any]:
        """What of the prompts' form differs from the checkpoint's own, as JSON data."""
        digest = hashlib.sha256(self.chat_template.encode()).hexdigest()
        every = {
            "template_args": dict(self.template_args),
            "chat_template": self.chat_template and f"sha256:{digest}",
            "min_pixels": self.min_pixels,
            "max_pixels": self.max_pixels,
        }
        return {name: value for name, value in every.items() if value}


AS_STORED = Settings()
"""Prompts as the checkpoint itself makes them."""


def template_args(text: str) -> dict[str, Any]:
    """The arguments of a chat template from a JSON object; an empty text is none.

    Raises CommandError for what is no JSON object, and for keys that are none of a template's.
    """
    if not text.strip():
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CommandError(
            f"--template-args takes a JSON object such as {EXAMPLE}; this is no JSON: {text[:80]}"
        ) from error
    if not isinstance(found, dict):
        raise CommandError(
            f"--template-args takes a JSON object such as {EXAMPLE}, not {text.strip()[:80]}"
        )
    for key in found:
        if key in NOT_ARGUMENTS or key in CALL:
            why = NOT_ARGUMENTS.get(key, "the recorder sets it itself")
            raise CommandError(f"--template-args cannot set '{key}': {why}; leave it out.")
    return found


def read_date(text: str) -> str:
    """The day as YYYY-MM-DD; empty for an empty text. CommandError for what is no such day."""
    try:
        return date.fromisoformat(text.strip()).isoformat() if text.strip() else ""
    except ValueError as error:
        raise CommandError(
            f"--date takes a day as YYYY-MM-DD, such as 2026-01-31, not '{text.strip()[:40]}'."
        ) from error


def read_chat_template(path: str) -> str:
    """The Jinja source in the file `path`; empty for an empty path. CommandError if unreadable."""
    if not path:
        return ""
    try:
        text = Path(path).read_text("utf-8")
    except OSError as error:
        raise CommandError(f"cannot read the chat template {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"the chat template {path} is no UTF-8 text.") from error
    if not text.strip():
        raise CommandError(f"the chat template {path} is empty: write a Jinja template into it.")
    return text
