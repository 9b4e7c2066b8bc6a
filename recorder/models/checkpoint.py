"""Where the parts of a model lie: in a folder, a GGUF file, a PEFT adapter on its base, the hub.

What is wrong with a path is found here, before anything is loaded. Loads neither torch nor
transformers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omnitrace.errors import CommandError
from recorder.models.gguf import is_gguf, read_metadata

COMMIT = re.compile("[0-9a-f]{40}")
HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
ADAPTER = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
WEIGHTS = ("model*.safetensors", "model*.safetensors.index.json", "pytorch_model*.bin*")
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")
MERGEABLE = frozenset({"LORA", "ADALORA", "LOHA", "LOKR", "IA3", "OFT", "BOFT", "HRA", "VERA"})
"""PEFT's methods whose change can be added to the base's weights; the others add tokens."""

PLAIN_SPLITS = frozenset({"gpt-2"})
DIGIT_SPLITS = frozenset({"smollm", "starcoder", "refact"})
WHOLE_WORD_SPLITS = frozenset({"llama-bpe", "llama3", "llama-v3", "tekken"})
OTHER_SPLITS = frozenset({"qwen2", "qwen35", "gpt-4o"})
SPLITS = PLAIN_SPLITS | DIGIT_SPLITS | WHOLE_WORD_SPLITS | OTHER_SPLITS
"""The values of `tokenizer.ggml.pre` whose splitting of text into words is reproduced exactly.

A GGUF file only names the rule, which `recorder.models.gguf_tokenizer` has to know.
"""
WITHOUT_PREFIX = frozenset({"gemma", "gemma2", "gemma3"})
"""Architectures whose SentencePiece tokenizers put no space before a text."""


@dataclass(frozen=True)
class Checkpoint:
    """The parts of a model that the user named as `path`.

    `weights`: folder or hub id of configuration and weights; `gguf`: the file in that folder which
    holds both, empty: none; `adapter`: folder of a PEFT adapter, empty: none; `processor`: folder
    or hub id of tokenizer, processor and chat template, empty: the GGUF file has the tokenizer;
    `own_tokenizer`: whether the user named the latter; `revision`: the hub's, of `weights`.
    """

    path: str
    weights: str
    gguf: str = ""
    adapter: str = ""
    processor: str = ""
    own_tokenizer: bool = False
    revision: str = ""

    @property
    def file(self) -> Path:
        """The GGUF file."""
        return Path(self.weights) / self.gguf

    @property
    def is_local(self) -> bool:
        """Whether the weights lie on this machine by name, not in the hub's cache."""
        return Path(self.weights).is_dir()

    @property
    def name(self) -> str:
        """The model's name in a run: that of the adapter, file or folder, or the hub id."""
        return _name(self.adapter) if self.adapter else self.gguf or self.base

    @property
    def base(self) -> str:
        """The folder's name or the hub id of the weights."""
        return _name(self.weights) if self.is_local else self.weights


def find_checkpoint(
    path: str, revision: str = "", trusted: bool = False, tokenizer: str = ""
) -> Checkpoint:
    """The parts of the model `path`: a folder, a GGUF file, a PEFT adapter or an id of the hub.

    `revision`: the hub's commit; `trusted`: whether the model's own code may be run, from the hub
    only that of a revision in full, so that what was read is what runs; `tokenizer`: a folder
    whose tokenizer and processor are used instead of the model's own.

    Raises CommandError for what cannot be a model: no such file or folder, a folder without a
    configuration or with several GGUF files, an adapter whose base is missing, a GGUF file whose
    tokenizer cannot be rebuilt, a package that is not installed.
    """
    found = _found(path)
    if found.is_local and revision:
        raise CommandError(f"{path} is a folder, which has no revisions: leave out --revision.")
    if not found.is_local:
        found = replace(found, revision=revision or found.revision)
        if trusted and not COMMIT.fullmatch(found.revision):
            raise CommandError(
                f"to run the code of '{found.weights}', say which one: --revision takes the commit "
                "that you read, all 40 characters of it."
            )
    if tokenizer:
        _check_tokenizer(Path(tokenizer))
        found = replace(found, processor=tokenizer, own_tokenizer=True)
    if found.gguf:
        _check_gguf(found)
    return found


def _name(folder: str) -> str:
    return Path(folder).name or Path(folder).resolve().name


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds a tokenizer's files."""
    return any((folder / name).is_file() for name in TOKENIZER)


def _found(path: str) -> Checkpoint:
    place = Path(path).expanduser()
    if place.is_file():
        if not is_gguf(place):
            raise CommandError(
                f"{path} is no GGUF file: name a GGUF file, the folder that holds config.json and "
                "weights, or a model id of the hub."
            )
        return Checkpoint(path, str(place.parent), gguf=place.name)
    if place.is_dir():
        return _folder(path, place)
    in_folder = len(place.parts) > 1 and place.parent.is_dir()
    looks_local = path.startswith(("/", ".", "~")) or path.endswith(".gguf") or in_folder
    if looks_local or not HUB_ID.fullmatch(path):
        raise CommandError(
            f"cannot load the model: there is no folder or file {path}; name a folder, a GGUF "
            "file, or a model id of the hub."
        )
    return Checkpoint(path, path, processor=path)


def _folder(path: str, place: Path) -> Checkpoint:
    """A model folder, a folder that holds a GGUF file, or that of a PEFT adapter."""
    whole = any(list(place.glob(pattern)) for pattern in WEIGHTS)
    if (place / ADAPTER).is_file():
        if whole:
            raise CommandError(
                f"the folder {path} holds a model and a PEFT adapter, so that it cannot be told "
                f"which one is meant: move {ADAPTER} to a folder of its own."
            )
        return _adapter(path, place)
    files = sorted(place.glob("*.gguf"))
    if files and not whole:
        if len(files) > 1:
            names = ", ".join(file.name for file in files[:8])
            raise CommandError(
                f"the folder {path} holds {len(files)} GGUF files ({names}): name one of them."
            )
        processor = str(place) if has_tokenizer(place) else ""
        return Checkpoint(path, str(place), gguf=files[0].name, processor=processor)
    if not (place / "config.json").is_file():
        raise CommandError(
            f"cannot load the model: the folder {path} has neither config.json, nor {ADAPTER}, nor "
            "a GGUF file."
        )
    return Checkpoint(path, str(place), processor=str(place))


def _adapter(path: str, place: Path) -> Checkpoint:
    """The parts of a PEFT adapter: its base's, and its own."""
    settings = _adapter_settings(path, place)
    named = str(settings.get("base_model_name_or_path") or "")
    if not named:
        raise CommandError(
            f"{path}/{ADAPTER} names no base_model_name_or_path: add the folder or hub id of the "
            "model that it changes."
        )
    relative = place / Path(named).expanduser()
    try:
        base = _found(str(relative) if relative.exists() else named)
    except CommandError as error:
        raise CommandError(
            f"the adapter {path} needs its base model '{named}', which cannot be loaded: put it "
            f"there, or change base_model_name_or_path in {ADAPTER} ({error})"
        ) from error
    if base.adapter or base.gguf:
        raise CommandError(
            f"the base model '{named}' of the adapter {path} is itself "
            f"{'an adapter' if base.adapter else 'a GGUF file'}: only adapters on a whole model "
            "can be recorded; merge it into its base first."
        )
    _need("peft", "lora", f"{path} is a PEFT adapter")
    kind = str(settings.get("peft_type")).upper()
    if kind not in MERGEABLE:
        raise CommandError(
            f"the adapter {path} is of the type {kind}, which cannot be merged into its base; the "
            f"types that can are {', '.join(sorted(MERGEABLE))}."
        )
    revision = "" if base.is_local else str(settings.get("revision") or "")
    processor = str(place) if has_tokenizer(place) else base.processor
    return replace(base, path=path, adapter=str(place), processor=processor, revision=revision)


def _adapter_settings(path: str, place: Path) -> Mapping[str, Any]:
    if not (place / ADAPTER_WEIGHTS).is_file():
        raise CommandError(
            f"the adapter {path} has no {ADAPTER_WEIGHTS}; a pickle (adapter_model.bin) is not "
            "read: save the adapter with safe_serialization=True."
        )
    try:
        settings = json.loads((place / ADAPTER).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot read {path}/{ADAPTER}: it is no JSON file.") from error
    if not isinstance(settings, dict):
        raise CommandError(f"cannot read {path}/{ADAPTER}: it holds no JSON object.")
    return settings


def _check_tokenizer(folder: Path) -> None:
    if not has_tokenizer(folder):
        raise CommandError(
            f"--tokenizer {folder} holds no tokenizer: name a folder with {TOKENIZER[0]} or "
            f"{TOKENIZER[1]}."
        )


def _check_gguf(found: Checkpoint) -> None:
    """CommandError unless the file can be read and its text can be tokenized exactly."""
    about = read_metadata(found.file)
    _need("gguf", "gguf", f"{found.path} is a GGUF file")
    if about.get("general.architecture") == "clip":
        raise CommandError(
            f"{found.path} holds only the vision or audio tower of a model, which transformers "
            "cannot load from a GGUF file: name the original checkpoint."
        )
    if not found.processor:
        why = untokenizable(about)
        if why:
            raise CommandError(
                f"{found.path} {why}: name a folder with the model's tokenizer with --tokenizer."
            )


def untokenizable(about: Mapping[str, Any]) -> str:
    """Why a tokenizer cannot be rebuilt exactly from a GGUF file's metadata; empty: it can be."""
    model = about.get("tokenizer.ggml.model")
    if model == "gpt2":
        split = about.get("tokenizer.ggml.pre")
        if split in SPLITS:
            return ""
        named = f"the splitting rule '{split}'" if split else "no splitting rule"
        return f"names {named} (tokenizer.ggml.pre), which is not known to be reproduced exactly"
    if model == "llama":
        if about.get("general.architecture") in WITHOUT_PREFIX:
            return ""
        return "does not say after which special tokens its tokenizer puts a space"
    return f"has a tokenizer of the type '{model}', which cannot be rebuilt exactly"


def _need(module: str, extra: str, why: str) -> None:
    if find_spec(module) is None:
        raise CommandError(
            f"{why}, which needs the package {module}: pip install 'omnitrace-replay[{extra}]'."
        )
