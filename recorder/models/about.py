"""What can be recorded of a model, from its configuration and its processor's files alone.

Loads no weights. Knows adapters only by their names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jinja2
import jinja2.meta
import jinja2.nodes

from omnitrace.errors import CommandError, OmniTraceError
from recorder.models import processing
from recorder.models.adapter import GENERAL, ModelSpec, adapter_module, out_of_reach
from recorder.models.chat import auto_class
from recorder.models.day import FUNCTION
from recorder.models.families import MEDIA, Family, read_families
from recorder.models.loading import load_processor
from recorder.models.render import TEMPLATE_ERRORS
from recorder.models.settings import Settings, first_sentence
from recorder.passes.decoder import attending_layers

THINKING = ("<think>", "[THINK]", "reasoning_content", "enable_thinking", "<|channel", "thinking")
"""What templates write or read that have a part for thinking."""
SUPPLIED = frozenset(
    {
        "messages",
        "tools",
        "documents",
        "add_generation_prompt",
        "continue_final_message",
        "raise_exception",
        FUNCTION,
        "namespace",
        "range",
        "dict",
        "cycler",
        "joiner",
        "lipsum",
    }
)
"""Names of a chat template that transformers and Jinja give a value."""


@dataclass(frozen=True, kw_only=True)
class About:
    """What is known of a model without its weights.

    `kind`: folder, hub, GGUF file or PEFT adapter; `base`: of the latter; `architecture`: the class
    that its configuration names; `adapter`: the module of `recorder.models` that serves it;
    `takes`: the kinds of content; `layers` of the decoder; `attending`: those that attend;
    `context`: most tokens, None: no limit stated; `chat_template`: whether there is one;
    `arguments`: what --template-args can set; `date`: whether it prints the day; `bos`: BOS tokens
    that a prompt begins with, None: not known; `thinking`: whether the template has a part for it;
    `tested`: families of the table with this model type; `refused`: why it cannot be recorded,
    empty: it can.
    """

    model: str
    kind: str
    base: str
    model_type: str
    architecture: str
    adapter: str
    takes: tuple[str, ...] = ()
    layers: int
    attending: tuple[int, ...]
    context: int | None
    chat_template: bool = False
    arguments: tuple[str, ...] = ()
    date: bool = False
    bos: int | None = None
    thinking: bool = False
    tested: tuple[str, ...]
    refused: tuple[str, ...]


def about(spec: ModelSpec, settings: Settings) -> About:
    """What can be recorded of a model with these settings."""
    refused: list[str] = []
    found, config = spec.checkpoint, spec.config
    text = config.get_text_config(decoder=True)
    module = adapter_module(spec)
    attending: tuple[int, ...] = ()
    prompts: dict[str, Any] = {}
    if why := out_of_reach(config):
        refused.append(why)
    else:
        try:
            if module == GENERAL:
                auto_class(config)
            attending = attending_layers(config)
        except CommandError as error:
            refused.append(str(error).rstrip("."))
        try:
            prompts = _prompts(spec, settings, module)
        except (OmniTraceError, OSError, ValueError, ImportError, *TEMPLATE_ERRORS) as error:
            refused.append(first_sentence(error).rstrip("."))
    kind = "PEFT adapter" if found.adapter else "GGUF file" if found.gguf else ""
    return About(
        model=spec.path,
        kind=kind or ("folder" if found.is_local else "hub"),
        base=found.base if found.adapter else "",
        model_type=config.model_type,
        architecture=(config.architectures or [""])[0],
        adapter=module.rpartition(".")[2],
        layers=int(getattr(text, "num_hidden_layers", 0)),
        attending=attending,
        context=getattr(text, "max_position_embeddings", None),
        tested=tuple(family.family for family in _tested(config)),
        refused=tuple(refused),
        **prompts,
    )


def _prompts(spec: ModelSpec, settings: Settings, module: str) -> dict[str, Any]:
    """Fields of `About` by what the processor makes of a short chat; raises all that a processor
    or template raises."""
    if module != GENERAL:
        return _own_prompts(spec, settings)
    processor = load_processor(spec, settings)
    tokenizer = getattr(processor, "tokenizer", processor)
    takes = {} if tokenizer is processor else processing.takes(processor)
    ids = processing.process(processor, _rendered(processor, settings), []).ids.tolist()
    bos = 0
    while tokenizer.bos_token_id is not None and ids[bos : bos + 1] == [tokenizer.bos_token_id]:
        bos += 1
    return {"takes": ("text", *takes), "bos": bos, **_of_template(processor)}


def _own_prompts(spec: ModelSpec, settings: Settings) -> dict[str, Any]:
    """The same where the adapter writes the prompts: of its media, what the tests found."""
    tested = {kind for family in _tested(spec.config) for kind in family.takes}
    takes = tuple(kind for kind in MEDIA if kind in tested)
    try:
        processor = load_processor(spec, settings)
    except (CommandError, OSError, ValueError, ImportError):
        return {"takes": takes}
    return {"takes": takes, **_of_template(processor)}


def _tested(config: Any) -> list[Family]:
    return [family for family in read_families() if family.model_type == config.model_type]


def _rendered(processor: Any, settings: Settings) -> str:
    words = "Hello"
    options = {"tokenize": False, "add_generation_prompt": True, **settings.template_args}
    contents: list[Any] = [[{"type": "text", "text": words}], words]
    if not hasattr(processor, "tokenizer"):
        contents.reverse()
    chats = [[{"role": "user", "content": content}] for content in contents]
    try:
        return str(processor.apply_chat_template(chats[0], **options))
    except TEMPLATE_ERRORS:
        return str(processor.apply_chat_template(chats[1], **options))


def _of_template(processor: Any) -> dict[str, Any]:
    template = processor.chat_template
    sources = template if isinstance(template, dict) else {"default": template or ""}
    source = str(sources.get("default", ""))
    return {
        "chat_template": bool(source),
        "arguments": _arguments(source, processor),
        "date": FUNCTION in source,
        "thinking": any(mark in source for mark in THINKING),
    }


def _arguments(source: str, processor: Any) -> tuple[str, ...]:
    """Names that a template reads and that get no value from transformers or the tokenizer."""
    tokenizer = getattr(processor, "tokenizer", processor)
    try:
        parsed = jinja2.Environment(extensions=["jinja2.ext.loopcontrols"]).parse(source)
    except jinja2.TemplateError:
        return ()  # of transformers' own tags, which plain Jinja does not know
    names = list(parsed.find_all(jinja2.nodes.Name))
    # A name that is set in one branch of the template counts as free in the others.
    own = {name.name for name in names if name.ctx != "load"}
    free = jinja2.meta.find_undeclared_variables(parsed)
    return tuple(sorted(free - own - SUPPLIED - set(tokenizer.SPECIAL_TOKENS_ATTRIBUTES)))
