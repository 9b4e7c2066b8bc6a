"""The day that chat templates print: which templates ask for it, and what they are told.

Templates such as those of gpt-oss, Granite and Llama 3 call `strftime_now(format)`, which
transformers answers from the clock, so that a prompt depends on the day on which it is rendered.
Knows transformers' compiled templates and the files of checkpoints; no adapter and no run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import transformers

from omnitrace.errors import CommandError
from recorder.models.adapter import MISTRAL_COMMON, ModelSpec, adapter_module
from recorder.models.gguf import read_metadata
from recorder.models.settings import Settings

FUNCTION = "strftime_now"
"""The function by which a template asks for the day."""
TEMPLATE = "chat_template.jinja"
FILES = (TEMPLATE, "chat_template.json", "processor_config.json", "tokenizer_config.json")
"""Files that may hold a checkpoint's chat template, in the order in which they are preferred."""

hf: Any = transformers


def prints_day(spec: ModelSpec, settings: Settings) -> bool:
    """Whether the chat template that a model is recorded with calls `strftime_now`.

    Reads files alone, neither weights nor tokenizer. False for prompts that mistral_common writes.
    """
    source = settings.chat_template or _own_source(spec)
    return FUNCTION in source and adapter_module(spec) != MISTRAL_COMMON


@contextmanager
def fixed_day(owner: Any, date: str) -> Iterator[None]:
    """Inside, the chat templates of `owner`, a tokenizer or processor, are told one day.

    `date`: YYYY-MM-DD, of which the time is midnight; empty: the time of this call, which does not
    go on inside. Not for several threads that render one template on different days.
    """
    day = datetime.fromisoformat(date) if date else datetime.now()
    # transformers keeps compiled templates. A keyword argument of `apply_chat_template` cannot be a
    # function: it would become a text.
    make = hf.utils.chat_template_utils._compile_jinja_template
    compiled = [make(source) for source in asking(owner)]
    for template in compiled:
        template.globals[FUNCTION] = day.strftime
    try:
        yield
    finally:
        for template in compiled:
            template.globals.pop(FUNCTION, None)


def asking(owner: Any) -> list[str]:
    """The chat templates of a tokenizer or processor that call `strftime_now`."""
    own = getattr(owner, "chat_template", None) or ""
    sources = own.values() if isinstance(own, dict) else [own]
    return [source for source in sources if FUNCTION in source]


def _own_source(spec: ModelSpec) -> str:
    """The text that holds the checkpoint's own chat template; empty if it has none."""
    found = spec.checkpoint
    if found.adapter and not found.own_tokenizer:
        own = Path(found.adapter, TEMPLATE)
        if own.is_file():
            return own.read_text("utf-8", "replace")
    if not found.processor:
        return str(_metadata(found.file).get("tokenizer.chat_template", ""))
    for place in (spec.processor, spec.source):
        for name in FILES:
            source = _in_file(place["pretrained_model_name_or_path"], name, place.get("revision"))
            if source:
                return source
    return ""


def _metadata(file: Path) -> dict[str, Any]:
    try:
        return read_metadata(file)
    except CommandError:
        return {}  # loading says what is wrong with it


def _in_file(place: str, name: str, revision: str | None) -> str:
    """The chat template in a file of a folder or of the hub; empty if it holds none."""
    try:
        path = hf.utils.cached_file(place, name, revision=revision)
        text = Path(path).read_text("utf-8", "replace")
        if name == TEMPLATE:
            return text
        found = json.loads(text).get("chat_template")
    except (OSError, ValueError, AttributeError):
        return ""  # no such file, or none that transformers reads
    return found if isinstance(found, str) else json.dumps(found) if found else ""
