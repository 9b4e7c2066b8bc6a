"""Load the parts of a checkpoint: the model with its adapter merged, the processor or tokenizer.

Knows transformers, PEFT and GGUF files; no model type.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import jinja2
import torch
import transformers
from safetensors import safe_open

from omnitrace.errors import CommandError
from recorder.models.adapter import ModelSpec
from recorder.models.checkpoint import ADAPTER_WEIGHTS, has_tokenizer
from recorder.models.gguf_tokenizer import end_ids, gguf_tokenizer
from recorder.models.settings import Settings, Weights, first_sentence, read_chat_template

TEMPLATE = "chat_template.jinja"
PROCESSOR = ("processor_config.json", "preprocessor_config.json")
EMBEDDINGS = ("embed_tokens.weight", "lm_head.weight", "wte.weight", "embed_out.weight")

hf: Any = transformers


def load_chat(spec: ModelSpec, weights: Weights, settings: Settings, auto: Any) -> tuple[Any, Any]:
    """The model that the class `auto` loads, and its processor or tokenizer.

    Raises CommandError as `load_model` and `load_processor` do.
    """
    processor = load_processor(spec, settings)
    model = load_model(spec, weights, auto)
    if spec.checkpoint.gguf:
        model.generation_config.eos_token_id = end_ids(spec.checkpoint.file, processor)
    return model, processor


def load_model(spec: ModelSpec, weights: Weights, auto: Any, **more: Any) -> Any:
    """The model that the class `auto` loads, in inference mode, where `weights` wants it.

    A PEFT adapter is merged into it; a GGUF file's weights are dequantised, `auto` to float32.
    `more`: further arguments of `from_pretrained`. CommandError for an adapter that does not fit,
    and for --quantize where weights are changed after they are loaded.
    """
    found = spec.checkpoint
    if weights.quantize != "no" and (found.gguf or found.adapter):
        kind = (
            "a GGUF file, whose weights are dequantised"
            if found.gguf
            else "a PEFT adapter, which is merged into whole weights"
        )
        raise CommandError(f"{spec.path} is {kind} when it is loaded: leave out --quantize.")
    options = {**spec.source, **weights.options, **more}
    if found.gguf:
        options |= _of_gguf(spec, weights)
    with _no_bar() if found.gguf else nullcontext():
        model = auto.from_pretrained(**options)
    if found.adapter:
        model = _merged(model, Path(found.adapter))
    return weights.place(model)


def _of_gguf(spec: ModelSpec, weights: Weights) -> dict[str, Any]:
    # The configuration is given, since it takes transformers long to read it from the file again.
    options: dict[str, Any] = {"config": spec.config}
    if weights.dtype == "auto":
        options["dtype"] = torch.float32
    if hasattr(hf, "GgufConfig"):
        # Blocks that stay packed would be multiplied by kernels of their own, not by plain modules.
        options["quantization_config"] = hf.GgufConfig(dequantize=True)
    return options


@contextmanager
def _no_bar() -> Iterator[None]:
    """Without the bar of the reader of GGUF files, which ignores transformers' settings."""
    reader: Any = import_module("transformers.modeling_gguf_pytorch_utils")
    bar = reader.tqdm
    reader.tqdm = partial(bar, disable=True)
    try:
        yield
    finally:
        reader.tqdm = bar


def _merged(model: Any, folder: Path) -> Any:
    """`model` with the adapter in `folder` added to its weights."""
    # Of what PEFT imports, one package complains about kernels that are not needed here.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    import peft

    rows = _embedding_rows(folder)
    if rows > model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # between PEFT and transformers
        # What does not fit is only warned about there, and then left out.
        warnings.filterwarnings("error", "Found missing adapter keys")
        try:
            changed: Any = peft.PeftModel.from_pretrained(model, str(folder))
            _refuse_left_out(_adapter_tensors(folder), changed, folder)
            return changed.merge_and_unload(safe_merge=True)
        except UserWarning as error:
            raise CommandError(
                f"the adapter {folder} does not fit its base model: {first_sentence(error)}"
            ) from error
        except (AttributeError, KeyError, TypeError) as error:
            raise CommandError(
                f"the adapter {folder} cannot be merged into its base model: "
                f"{first_sentence(error)}"
            ) from error


def _embedding_rows(folder: Path) -> int:
    """Rows of the embeddings that an adapter brings in place of its base's; 0: none."""
    shapes = _adapter_tensors(folder)
    return max((shape[0] for name, shape in shapes.items() if name.endswith(EMBEDDINGS)), default=0)


def _adapter_tensors(folder: Path) -> dict[str, tuple[int, ...]]:
    """Name → shape of the tensors of an adapter's file."""
    with safe_open(folder / ADAPTER_WEIGHTS, "pt") as tensors:
        names = list(tensors.keys())
        return {name: tuple(tensors.get_slice(name).get_shape()) for name in names}


def _refuse_left_out(tensors: Collection[str], changed: Any, folder: Path) -> None:
    """PEFT leaves out without a word what it finds no place for."""
    import peft

    taken = peft.get_peft_model_state_dict(changed, save_embedding_layers=True)
    left = sorted(set(tensors) - set(taken))
    if left:
        raise CommandError(
            f"the adapter {folder} does not fit its base model: it changes {left[0]}"
            f"{f' and {len(left) - 1} more tensors' if len(left) > 1 else ''}, which the base "
            "does not have."
        )


def load_processor(spec: ModelSpec, settings: Settings, auto: Any = None) -> Any:
    """The model's processor, or its tokenizer if it has none, with the chat template to use.

    `auto`: the processor's class; without it, that which transformers has for the model's type.
    CommandError if there is no chat template, or if it is no Jinja template.
    """
    if auto is None and type(spec.config) not in hf.PROCESSOR_MAPPING:
        processor = tokenizer = load_tokenizer(spec)
    else:
        processor = _processor(spec, auto or hf.AutoProcessor)
        tokenizer = processor.tokenizer
    template = settings.chat_template or _template_of_adapter(spec)
    if template:
        processor.chat_template = tokenizer.chat_template = template
    if getattr(processor, "chat_template", None) is None:
        # transformers reads a processor's own alone; checkpoints leave it with the tokenizer.
        processor.chat_template = tokenizer.chat_template
    _check_template(processor.chat_template, spec.path)
    return processor


def _template_of_adapter(spec: ModelSpec) -> str:
    file = Path(spec.checkpoint.adapter, TEMPLATE)
    own = spec.checkpoint.adapter and not spec.checkpoint.own_tokenizer and file.is_file()
    return read_chat_template(str(file)) if own else ""


def load_tokenizer(spec: ModelSpec) -> Any:
    """The tokenizer; CommandError if it has tokens that the model has not."""
    found = spec.checkpoint
    if not found.processor:
        return gguf_tokenizer(found.file)
    known = {} if found.processor == found.weights else {"config": spec.config}
    # Its own tokenizer and chat template, whether or not mistral_common is installed.
    tokenizer = hf.AutoTokenizer.from_pretrained(**spec.processor, **known, mistral_format=False)
    most = spec.config.get_text_config().vocab_size
    if (found.own_tokenizer or found.gguf) and len(tokenizer) > most:
        raise CommandError(
            f"the tokenizer in {found.processor} has {len(tokenizer)} tokens and the model "
            f"'{spec.path}' {most}: name the model's own tokenizer with --tokenizer."
        )
    return tokenizer


def _processor(spec: ModelSpec, auto: Any) -> Any:
    folder = Path(spec.checkpoint.processor)
    own = folder.is_dir() and not any((folder / name).is_file() for name in PROCESSOR)
    if not own or spec.checkpoint.processor == spec.checkpoint.weights:
        return auto.from_pretrained(**spec.processor)
    # An adapter's folder often has a tokenizer, and nothing for the media.
    processor = auto.from_pretrained(**spec.source)
    if has_tokenizer(folder):
        processor.tokenizer = load_tokenizer(spec)
        processor.chat_template = processor.tokenizer.chat_template or processor.chat_template
    return processor


def _check_template(template: Any, path: str) -> None:
    if template is None:
        raise CommandError(
            f"cannot load the model '{path}': it has no chat template, so that messages cannot be "
            "put to it; name a file that holds one with --chat-template."
        )
    if not isinstance(template, str):
        return
    try:
        hf.utils.chat_template_utils._compile_jinja_template(template)
    except jinja2.TemplateSyntaxError as error:
        raise CommandError(
            f"the chat template of '{path}' is no Jinja template: line {error.lineno}: "
            f"{first_sentence(error)}"
        ) from error
