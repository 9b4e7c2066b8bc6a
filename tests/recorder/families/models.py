"""Each family's toy as the recorder loads it, as transformers does, and in eager attention."""

from __future__ import annotations

import atexit
import copy
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from recorder.config import TINY_OMNI
from recorder.inputs.samples import Content, Message, Sample
from recorder.models.adapter import Adapter, describe_model, load_adapter
from recorder.models.settings import Settings, Weights
from recorder.passes.capture import Confirmed, confirm, install
from tests.recorder import conftest as files
from tests.recorder.toys import TOYS, Toy

BUNDLED = "qwen2_5_omni"
OWN_CODE = {"minicpm_o"}
SINGLE = {"qwen3_omni", "deepseek_v3", "gpt_oss", "minicpm_o"}
SINGLE_AUDIO = {"gemma4"}
"""Families whose experts, or whose tower of audio, compute in float32 alone."""
NOT_TOGETHER = ("glm4v", "smolvlm")
"""Families whose classes in transformers do not take an image and a video in one prompt."""
NOTES = {
    **dict.fromkeys(NOT_TOGETHER, "an image or a video in a prompt, not both"),
    "minicpm_o": "a double of its published code",
    "qwen2_5_omni": "the bundled model",
    "granite_speech": "needs torchaudio",
    "gemma3n": "needs timm",
    "voxtral": "needs mistral-common",
}
"""What is different about a family's row of the table."""
FAMILIES: dict[str, Toy] = {
    BUNDLED: Toy(lambda folder: None, frozenset({"text", "image", "audio", "video"}), "omni"),
    **TOYS,
}
SETTINGS = Settings(date="2026-03-04")
"""One day for all prompts that print one, so that midnight may pass while tests run."""

_scratch = tempfile.TemporaryDirectory()
atexit.register(_scratch.cleanup)


@cache
def media_folder() -> Path:
    """photo.png, tall.jpg, speech.wav, film.mp4 and silent.mp4, as in the recorder's fixtures."""
    folder = Path(_scratch.name) / "media"
    folder.mkdir()
    files.write_photo(folder / "photo.png")
    files.write_turned(folder / "tall.jpg")
    files.write_speech(folder / "speech.wav")
    files.write_film(folder / "film.mp4", sound=True)
    files.write_film(folder / "silent.mp4", sound=False)
    return folder


@cache
def checkpoint(family: str) -> Path:
    """The folder of a family's toy."""
    if family == BUNDLED:
        return TINY_OMNI
    for module in FAMILIES[family].needs:
        pytest.importorskip(module)
    folder = Path(_scratch.name) / family
    folder.mkdir()
    FAMILIES[family].save(folder)
    return folder


def load(family: str, settings: Settings = SETTINGS) -> Adapter:
    """A family's toy, read from its folder anew, in float32."""
    spec = describe_model(str(checkpoint(family)), trusted=family in OWN_CODE)
    return load_adapter(spec, Weights("float32", "cpu"), settings)


@cache
def _untouched(family: str) -> Adapter:
    """Only to be copied: a model that has run holds hooks, which copies do not survive."""
    return load(family)


def fresh(family: str) -> Adapter:
    """A family's toy of one's own, quicker than from its folder."""
    return copy.deepcopy(_untouched(family))


@cache
def plain(family: str) -> Adapter:
    """A family's toy as transformers loads it."""
    return fresh(family)


def can_double(family: str, kind: str) -> bool:
    """Whether the family's prompt of that kind passes its model in float64, in which no rounding
    hides or feigns a difference."""
    return family not in SINGLE and not (family in SINGLE_AUDIO and kind in {"audio", "all"})


@cache
def watched(family: str, double: bool = False) -> tuple[Adapter, Confirmed]:
    """A family's toy, ready to record, and which of its layers attend; `double`: in float64."""
    adapter = fresh(family)
    if double:
        adapter.model.double()
    install(adapter.model, adapter.decoder)
    return adapter, confirm(adapter.model, adapter.layers)


@cache
def eager(family: str, double: bool) -> Any:
    """A family's toy with eager attention in its decoder, and with gradients to be had."""
    adapter = fresh(family)
    if double:
        adapter.model.double()
    adapter.model.set_attn_implementation({adapter.decoder: "eager"})
    adapter.model.get_input_embeddings().weight.requires_grad_()
    return adapter.model


def content(part: str) -> Content:
    """`image:photo.png` is an image of the media folder, anything else a text."""
    kind, _, name = part.partition(":")
    if kind in {"image", "audio", "video"}:
        return Content(kind, path=media_folder() / name)
    return Content("text", text=part)


def sample(*parts: str, **more: Any) -> Sample:
    """One user message of these parts."""
    return chat(Message("user", tuple(map(content, parts))), **more)


def chat(*messages: Message, **more: Any) -> Sample:
    return Sample("sample", messages, None, "", **more)


def prompts(family: str) -> dict[str, tuple[str, ...]]:
    """What a family is asked: a text, and a prompt for each kind of medium that it takes."""
    takes = FAMILIES[family].takes
    found = {
        "text": (FACT,),
        "image": ("Look:", "image:tall.jpg", " and ", "image:photo.png", "What do they show?"),
        "video": ("video:silent.mp4", "What moves in it?"),
        "audio": ("audio:speech.wav", "What is it about?"),
        "all": tuple(f"{kind}:{name}" for kind, name in ONE_OF_EACH.items() if kind in takes),
    }
    found["all"] += ("What is it?",)
    wanted = set(takes)
    if len(takes) > 2 and family not in NOT_TOGETHER:
        wanted.add("all")
    return {kind: parts for kind, parts in found.items() if kind in wanted}


FACT = "The parcel weighs seven kilos. What does the parcel weigh?"
ONE_OF_EACH = {"video": "silent.mp4", "image": "photo.png", "audio": "speech.wav"}
CASES = [(family, kind) for family in FAMILIES for kind in prompts(family)]
