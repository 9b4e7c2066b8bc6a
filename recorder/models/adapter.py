"""Adapters: what the recorder needs of a model, a prepared prompt whose every token is known.

An adapter is one file that implements `Adapter` and one line in `ADAPTERS`. Knows no particular
model; capture and generation know adapters only through what stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import transformers
from safetensors import SafetensorError

from omnitrace.errors import CommandError
from omnitrace.prompt import Prompt
from recorder import fingerprint
from recorder.inputs.samples import Sample
from recorder.models.checkpoint import Checkpoint, find_checkpoint
from recorder.models.settings import AS_STORED, Settings, Weights, first_sentence

NO_LIMIT = 1 << 30
"""Tokens of a model whose configuration states no limit."""

hf: Any = transformers


@dataclass(frozen=True)
class Prepared:
    """A sample as model input, and its prompt.

    `inputs` are the keyword arguments of `model.generate`, on the model's device, batch size 1.
    `absent`: the parts whose text the chat template leaves out (earlier thinking).
    """

    inputs: Mapping[str, Any]
    prompt: Prompt
    absent: tuple[int, ...] = ()


@dataclass(frozen=True)
class ModelSpec:
    """Which model, before its weights are loaded.

    `path`: as the user named it; `revision`: the hub's commit, of an adapter's base, empty for a
    local folder; `config`: the transformers configuration; `trusted`: whether the model's own code
    may be run; `checkpoint`: where the parts lie.
    """

    path: str
    revision: str
    config: Any
    trusted: bool
    checkpoint: Checkpoint

    @property
    def source(self) -> dict[str, Any]:
        """Keyword arguments of the model's `from_pretrained`."""
        found = self.checkpoint
        gguf = {"gguf_file": found.gguf} if found.gguf else {}
        return self._arguments(found.weights) | gguf

    @property
    def processor(self) -> dict[str, Any]:
        """Keyword arguments of the processor's and the tokenizer's `from_pretrained`."""
        return self._arguments(self.checkpoint.processor)

    def _arguments(self, place: str) -> dict[str, Any]:
        # `trust_remote_code` is always given: left open, transformers asks on the terminal.
        found: dict[str, Any] = {
            "pretrained_model_name_or_path": place,
            "trust_remote_code": self.trusted,
        }
        of_hub = self.revision and place == self.checkpoint.weights
        return found | ({"revision": self.revision} if of_hub else {})

    @property
    def dtype(self) -> str:
        """The precision of weights that are loaded as they are stored; a GGUF file's: float32."""
        if self.checkpoint.gguf:
            return "float32"
        return str(self.config.dtype).removeprefix("torch.")

    @property
    def fingerprint(self) -> str:
        """The hub's commit, or the sha256 of the adapter, the GGUF file or the folder."""
        if self.checkpoint.adapter:
            return f"sha256:{fingerprint.of_folder(Path(self.checkpoint.adapter))}"
        return self._base_fingerprint

    @property
    def _base_fingerprint(self) -> str:
        found = self.checkpoint
        if found.gguf:
            return f"sha256:{fingerprint.of_file(found.file)}"
        return self.revision or f"sha256:{fingerprint.of_folder(Path(found.weights))}"

    @property
    def identity(self) -> dict[str, str]:
        """What tells this model from others, as JSON data: `model`, `model_type`, `revision`.

        An adapter's has `base` and `base_revision` too, and one with a tokenizer of its own the
        sha256 of its folder, `tokenizer`.
        """
        found, about = self.checkpoint, {}
        if found.adapter:
            about = {"base": found.base, "base_revision": self._base_fingerprint}
        if found.own_tokenizer or (found.gguf and found.processor):
            about["tokenizer"] = f"sha256:{fingerprint.of_folder(Path(found.processor))}"
        return {
            "model": found.name,
            "model_type": self.config.model_type,
            "revision": self.fingerprint,
            **about,
        }


class Adapter(Protocol):
    """One loaded model. `decoder` is the configuration key of its text decoder; `settings`: how it
    makes prompts."""

    model: Any
    decoder: str
    settings: Settings

    @property
    def layers(self) -> int:
        """Number of decoder layers."""

    @property
    def max_tokens(self) -> int:
        """Most tokens of prompt and response together."""

    @property
    def eos_ids(self) -> frozenset[int]:
        """Token ids that end a response."""

    def prepare(self, sample: Sample) -> Prepared:
        """Decode, tokenize and lay out a sample; SampleError if the model cannot take it."""

    def decode(self, ids: list[int]) -> str:
        """The text of token ids, special tokens included, nothing cleaned up."""

    def encode(self, text: str) -> list[int]:
        """The token ids of a text that stands alone, nothing added."""


class BaseAdapter:
    """What adapters share of `Adapter`: by the model's configuration and the tokenizer."""

    model: Any
    tokenizer: Any
    settings: Settings

    @property
    def layers(self) -> int:
        return int(self.model.config.get_text_config().num_hidden_layers)

    @property
    def max_tokens(self) -> int:
        text = self.model.config.get_text_config()
        return int(getattr(text, "max_position_embeddings", None) or NO_LIMIT)

    @property
    def eos_ids(self) -> frozenset[int]:
        ids = self.model.generation_config.eos_token_id
        if ids is None:
            ids = self.tokenizer.eos_token_id
        return frozenset([ids] if isinstance(ids, int) else ids or ())

    def decode(self, ids: list[int]) -> str:
        text: str = self.tokenizer.decode(
            ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids


Load = Callable[[ModelSpec, Weights, Settings], Adapter]

ADAPTERS = {
    "minicpmo": "recorder.models.minicpm_o",
    "qwen2_5_omni": "recorder.models.qwen_omni",
    "qwen2_5_omni_thinker": "recorder.models.qwen_omni",
    "qwen3_omni_moe": "recorder.models.qwen3_omni",
    "qwen3_omni_moe_thinker": "recorder.models.qwen3_omni",
    "voxtral": "recorder.models.voxtral",
}
"""transformers' model type → the module that has `load(spec, weights, settings) -> Adapter`."""

GENERAL = "recorder.models.chat"
"""The module for all other types of chat models that transformers knows."""

TEKKEN, MISTRAL_COMMON = "tekken.json", "recorder.models.voxtral"
"""The tokenizer of Mistral AI's own library, and the module for models that have no other."""

NOT_GENERATIVE = (
    "ForMaskedLM",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForMultipleChoice",
    "ForPreTraining",
)
"""Ends of the class names of models that write no answers."""


def adapter_module(spec: ModelSpec) -> str:
    """The module that serves a model: its type's own, or that of its tokenizer, or the general."""
    own = ADAPTERS.get(spec.config.model_type)
    if own is None and "stral" in spec.config.model_type and _has_tekken_alone(spec):
        return MISTRAL_COMMON
    return own or GENERAL


def _has_tekken_alone(spec: ModelSpec) -> bool:
    """Whether a model comes with a tekken.json and with no chat template.

    One with both is recorded with its template, whether or not mistral_common is installed.
    """
    place, revision = spec.checkpoint.processor, spec.processor.get("revision")
    if not place or type(spec.config) in hf.PROCESSOR_MAPPING:
        return False
    try:
        hf.utils.cached_file(place, TEKKEN, revision=revision)
    except OSError:
        return False
    own = hf.AutoTokenizer.from_pretrained(**spec.processor, mistral_format=False)
    return own.chat_template is None


def describe_model(
    path: str, revision: str = "", trusted: bool = False, tokenizer: str = ""
) -> ModelSpec:
    """Read a model's configuration, local or from the hub; CommandError if that cannot be done.

    `revision`: the commit of the hub; `trusted`: whether the model's own code may be run, from the
    hub only that of a revision in full; `tokenizer`: a folder whose tokenizer is used instead.
    """
    found = find_checkpoint(path, revision, trusted, tokenizer)
    quiet()
    pinned = {"revision": found.revision} if found.revision else {}
    gguf = {"gguf_file": found.gguf} if found.gguf else {}
    try:
        config = transformers.AutoConfig.from_pretrained(
            found.weights, trust_remote_code=trusted, **pinned, **gguf
        )
        commit = "" if found.is_local else hub_commit(found.weights, found.revision)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise _unreadable(path, error, trusted) from error
    return ModelSpec(path, commit, config, trusted, found)


def hub_commit(path: str, revision: str = "") -> str:
    """The hub's commit whose configuration is read; ValueError if the cache does not tell."""
    pinned = {"revision": revision} if revision else {}
    hub: Any = transformers.utils.hub
    file = hub.cached_file(path, "config.json", **pinned)
    commit = hub.extract_commit_hash(file, None)
    if commit is None:
        raise ValueError(f"the commit of {path} is not known; name it with --revision")
    return str(commit)


def _unreadable(path: str, error: Exception, trusted: bool) -> CommandError:
    if not trusted and "trust_remote_code" in str(error):
        return CommandError(
            f"the model '{path}' brings code of its own: read it, then allow it with "
            "--trust-remote-code."
        )
    return CommandError(
        f"cannot load the model '{path}': {first_sentence(error)} Name a folder that holds "
        "config.json, weights and processor, or a model id of the hub."
    )


def load_adapter(spec: ModelSpec, weights: Weights, settings: Settings = AS_STORED) -> Adapter:
    """Load weights and processor; CommandError if that cannot be done."""
    quiet()
    if why := out_of_reach(spec.config):
        raise CommandError(f"'{spec.path}' cannot be recorded: {why}.")
    load: Load = import_module(adapter_module(spec)).load
    try:
        return load(spec, weights, settings)
    except (OSError, ValueError, RuntimeError, ImportError, SafetensorError) as error:
        raise CommandError(
            f"cannot load the model '{spec.path}': {first_sentence(error)}"
        ) from error


def out_of_reach(config: Any) -> str:
    """Why no model of this transformers configuration can be recorded; empty: it may be."""
    text = config.get_text_config(decoder=True) if hasattr(config, "get_text_config") else config
    kinds = [str(name) for name in getattr(config, "architectures", None) or ()]
    if getattr(config, "is_encoder_decoder", False) or getattr(text, "is_encoder_decoder", False):
        return "it is an encoder-decoder, whose answers attend to the prompt by cross-attention"
    if any(getattr(text, name, None) for name in ("cross_attention_layers", "add_cross_attention")):
        return "its decoder reads images by cross-attention, so that they have no tokens"
    if hasattr(config, "cross_layer_interval"):
        return "its decoder reads images by cross-attention, so that they have no tokens"
    if kinds and all(kind.endswith(NOT_GENERATIVE) for kind in kinds):
        return f"it is a {kinds[0]}, which writes no answers"
    return ""


def quiet() -> None:
    """No progress bars and no advice from transformers among our own output; its errors stay."""
    logging: Any = transformers.utils.logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()
