"""What the recorder asks of a model: a prepared prompt whose every token is known, and its parts.

An adapter is one file that implements `Adapter` and one line in `ADAPTERS`. Knows no particular
model; capture and generation know adapters only through what stands here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import transformers
from safetensors import SafetensorError

from omnitrace.errors import CommandError
from omnitrace.timeline import Int32, Medium, Part, Timeline
from recorder.inputs.samples import Sample
from recorder.models.weights import Weights, first_sentence


@dataclass(frozen=True)
class Prepared:
    """A sample as model input, and what each of its n tokens is.

    `inputs` are the keyword arguments of `model.generate`, on the model's device, batch size 1.
    `absent`: the parts whose text the chat template leaves out (earlier thinking).
    """

    inputs: Mapping[str, Any]
    ids: Int32
    timeline: Timeline
    prompt_text: str
    parts: tuple[Part, ...]
    media: tuple[Medium, ...]
    absent: tuple[int, ...] = ()


@dataclass(frozen=True)
class ModelSpec:
    """Which model, before its weights are loaded.

    `path`: local folder or hub id; `revision`: the hub's commit, empty for a local folder;
    `config`: the transformers configuration; `trusted`: whether the model's own code may be run.
    """

    path: str
    revision: str
    config: Any
    trusted: bool = False

    @property
    def source(self) -> dict[str, Any]:
        """Keyword arguments of every `from_pretrained`."""
        # Said outright: where it is left open, transformers asks on the terminal.
        source: dict[str, Any] = {
            "pretrained_model_name_or_path": self.path,
            "trust_remote_code": self.trusted,
        }
        return source | ({"revision": self.revision} if self.revision else {})


@dataclass(frozen=True)
class Settings:
    """What a recording tells an adapter besides the weights.

    `fps`: frames a second taken from a video; `template_args`: keyword arguments of the chat
    template; `chat_template`: Jinja source used in place of the checkpoint's, empty: its own;
    `min_pixels`, `max_pixels`: bounds on the pixels of an image or frame, None: no bound of ours.
    """

    fps: float = 2.0
    template_args: Mapping[str, Any] = field(default_factory=dict)
    chat_template: str = ""
    min_pixels: int | None = None
    max_pixels: int | None = None


class Adapter(Protocol):
    """One loaded model. `decoder` is the configuration key of its text decoder."""

    model: Any
    decoder: str

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
        """Decode, tokenize and lay out a sample; OmniTraceError if the model cannot take it."""

    def decode(self, ids: list[int]) -> str:
        """The text of token ids, special tokens included, nothing cleaned up."""

    def encode(self, text: str) -> list[int]:
        """The token ids of a text that stands alone, nothing added."""


Load = Callable[[ModelSpec, Weights, Settings], Adapter]

ADAPTERS = {
    "minicpmo": "recorder.models.minicpm_o",
    "qwen2_5_omni": "recorder.models.qwen_omni",
    "qwen2_5_omni_thinker": "recorder.models.qwen_omni",
    "qwen3_omni_moe": "recorder.models.qwen3_omni",
    "qwen3_omni_moe_thinker": "recorder.models.qwen3_omni",
}
"""transformers' model type → the module that has `load(spec, weights, settings) -> Adapter`."""

COMMIT = re.compile("[0-9a-f]{40}")

GENERAL = "recorder.models.chat"
"""The module for all other types of chat models that transformers knows."""


def describe_model(path: str, revision: str = "", trusted: bool = False) -> ModelSpec:
    """Read a model's configuration, local or from the hub; CommandError if that cannot be done.

    `revision`: the commit of the hub; `trusted`: whether the model's own code may be run, from the
    hub only that of a revision in full, so that what was read is what runs.
    """
    folder = Path(path).is_dir()
    if path.startswith(("/", "./", "../", "~")) and not folder:
        raise CommandError(f"cannot load the model: there is no folder {path}.")
    if folder and revision:
        raise CommandError(f"{path} is a folder, which has no revisions: leave out --revision.")
    if trusted and not folder and not COMMIT.fullmatch(revision):
        raise CommandError(
            f"to run the code of '{path}', say which one: --revision takes the commit that you "
            "read, all 40 characters of it."
        )
    asked = {"revision": revision} if revision else {}
    try:
        config = transformers.AutoConfig.from_pretrained(path, trust_remote_code=trusted, **asked)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise _unreadable(path, error, trusted) from error
    commit = None if folder else getattr(config, "_commit_hash", None)
    return ModelSpec(path, commit or revision, config, trusted)


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


def load_adapter(spec: ModelSpec, weights: Weights, settings: Settings = Settings()) -> Adapter:
    """Load weights and processor; CommandError if that cannot be done."""
    _quiet()
    load: Load = import_module(ADAPTERS.get(spec.config.model_type, GENERAL)).load
    try:
        return load(spec, weights, settings)
    except (OSError, ValueError, RuntimeError, ImportError, SafetensorError) as error:
        raise CommandError(
            f"cannot load the model '{spec.path}': {first_sentence(error)}"
        ) from error


def _quiet() -> None:
    """No bars and no advice from transformers among our own narration; its errors stay."""
    logging: Any = transformers.utils.logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()
