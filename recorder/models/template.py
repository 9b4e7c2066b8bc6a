"""What a recording tells the chat template: arguments, and a template of the user's own.

Loads no torch, so that what is wrong is found before anything is loaded.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from omnitrace.errors import CommandError

NOT_ARGUMENTS = {
    "conversation": "the samples file has the messages",
    "messages": "the samples file has the messages",
    "tools": "the samples file has the tools",
    "chat_template": "--chat-template takes a template",
    "add_generation_prompt": "it follows from the last message of a sample",
    "continue_final_message": "it follows from the last message of a sample",
    "fps": "--fps is the frame rate",
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


EXAMPLE = '{"enable_thinking": false}'


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
