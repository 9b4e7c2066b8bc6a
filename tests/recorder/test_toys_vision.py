"""The toys of vision and omni models load, render chats and place media as published ones do."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jinja2.exceptions import TemplateError
from PIL import Image
from transformers.video_utils import VideoMetadata

from tests.recorder.toys import omni, tiles, vision
from tests.recorder.toys.common import Toy, hf
from tests.recorder.toys.vision import NEEDS

TOYS: dict[str, Toy] = {**vision.TOYS, **tiles.TOYS, **omni.TOYS}
BYTES = 2_000_000
SECONDS = 1.5
QUESTION = "  What is it? "
FRAMES = (8, 64, 96, 3)
METADATA: dict[str, Any] = {
    "total_num_frames": 8,
    "fps": 2.0,
    "duration": 4.0,
    "frames_indices": list(range(8)),
}
CHANGE = 0.02
"""The smallest change of a logit, in deviations of all logits, that counts as one."""
# numpy warns of the tensors that GLM-4V's processor hands it where tensors are wanted.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@dataclass(frozen=True)
class Family:
    """What is published of a family.

    `written`: how often BOS stands in the ids of one user message; `added`: whether the tokenizer
    writes BOS before any text; `trims`: whether the template trims texts; `first`: whether media
    precede texts wherever they stand; `spans`: a pattern of each medium's text in the expanded
    prompt (an image of 130 by 150 pixels, eight frames at 2 a second, an audio of 1.5 s).
    """

    model: str
    written: int
    added: bool
    spans: dict[str, str]
    trims: bool = False
    first: bool = False


def _run(token: str, times: str = "+") -> str:
    return f"(?:{re.escape(token)}){times}"


_QWEN_IMAGE = rf"<\|vision_start\|>{_run('<|image_pad|>')}<\|vision_end\|>"
_QWEN2 = {
    "image": _QWEN_IMAGE,
    "video": rf"<\|vision_start\|>{_run('<|video_pad|>')}<\|vision_end\|>",
}
_PAIR = rf"<\d\.2 seconds><\|vision_start\|>{_run('<|video_pad|>')}<\|vision_end\|>"
_QWEN3 = {
    "image": _QWEN_IMAGE,
    "video": rf"<\|vision_start\|>(?:{_PAIR}){{4}}<\|vision_end\|>",
}
_FRAME = rf"<\|begin_of_image\|>{_run('<|image|>')}<\|end_of_image\|>"
_GLM = {
    "image": _FRAME,
    "video": rf"<\|begin_of_video\|>{_FRAME}0{_FRAME}1{_FRAME}2{_FRAME}3<\|end_of_video\|>",
}
_FAKE = "<fake_token_around_image>"
_TILE = rf"{_FAKE}<row_\d_col_\d>{_run('<image>', '{16}')}"
_GLOBAL = rf"{_FAKE}<global-img>{_run('<image>', '{16}')}{_FAKE}"
_TILES = rf"(?:{_TILE}{_TILE}\n){{2}}\n{_GLOBAL}"
_PATCHES = _run("<|patch|>", "{16}")
_ROW = rf"{_PATCHES}<\|tile_x_separator\|>{_PATCHES}<\|tile_y_separator\|>"
_LFM2_TILES = "".join(
    rf"<\|img_row_{row}_col_{column}\|>{_run('<image>', '{16}')}"
    for row in (1, 2)
    for column in (1, 2)
)
_ANYRES = _run("<image>", "{72}")
"""16 of the whole image; of tiles 8 rows of 6 columns, as the padding is cut, and 8 newlines."""
FAMILIES = {
    "qwen2_vl": Family("Qwen2VLForConditionalGeneration", 0, False, _QWEN2),
    "qwen2_5_vl": Family("Qwen2_5_VLForConditionalGeneration", 0, False, _QWEN2),
    "qwen3_vl": Family("Qwen3VLForConditionalGeneration", 0, False, _QWEN3),
    "qwen3_5": Family("Qwen3_5ForConditionalGeneration", 0, False, _QWEN3, trims=True),
    "glm4v": Family("Glm4vForConditionalGeneration", 0, False, _GLM),
    "gemma3": Family(
        "Gemma3ForConditionalGeneration",
        1,
        True,
        {"image": rf"\n\n<start_of_image>{_run('<image_soft_token>', '{16}')}<end_of_image>\n\n"},
        trims=True,
    ),
    "llava": Family(
        "LlavaForConditionalGeneration",
        1,
        True,
        {"image": rf"USER: {_run('<image>', '{16}')}\n"},
        first=True,
    ),
    "llava_next": Family(
        "LlavaNextForConditionalGeneration",
        1,
        True,
        {"image": rf"\[INST\] {_ANYRES}\n"},
        first=True,
    ),
    "llava_onevision": Family(
        "LlavaOnevisionForConditionalGeneration",
        0,
        False,
        {"image": rf" {_ANYRES}\n", "video": rf" {_run('<video>', '{33}')}\n"},
        first=True,
    ),
    "internvl": Family(
        "InternVLForConditionalGeneration",
        0,
        False,
        {
            "image": rf"<img>{_run('<IMG_CONTEXT>', '{16}')}</img>\n",
            "video": rf"(?:Frame\d: <img>{_run('<IMG_CONTEXT>', '{16}')}</img>\n){{8}}",
        },
    ),
    "idefics3": Family("Idefics3ForConditionalGeneration", 1, True, {"image": f":{_TILES}"}),
    "smolvlm": Family(
        "SmolVLMForConditionalGeneration",
        1,
        False,
        {
            "image": f":{_TILES}",
            "video": rf"eight frames from a 0:00:04 .+\n(?:\nFrame from 00:0\d:{_GLOBAL}){{8}}\n\n",
        },
    ),
    "mistral3": Family(
        "Mistral3ForConditionalGeneration",
        1,
        True,
        {"image": r"\[INST\](?:(?:\[IMG\]){5}\[IMG_BREAK\]){5}(?:\[IMG\]){5}\[IMG_END\]"},
    ),
    "llama4": Family(
        "Llama4ForConditionalGeneration",
        1,
        True,
        {"image": rf"<\|image_start\|>(?:{_ROW}){{2}}<\|image\|>{_PATCHES}<\|image_end\|>"},
        trims=True,
    ),
    "lfm2_vl": Family(
        "Lfm2VlForConditionalGeneration",
        1,
        True,
        {
            "image": rf"<\|image_start\|>{_LFM2_TILES}<\|img_thumbnail\|>{_run('<image>')}"
            r"<\|image_end\|>"
        },
    ),
    "gemma3n": Family(
        "Gemma3nForConditionalGeneration",
        1,
        True,
        {
            "image": rf"\n\n<start_of_image>{_run('<image_soft_token>', '{16}')}<end_of_image>\n\n",
            "audio": rf"\n\n<start_of_audio>{_run('<audio_soft_token>', '{188}')}"
            r"<end_of_audio>\n\n",
        },
        trims=True,
    ),
    "gemma4": Family(
        "Gemma4ForConditionalGeneration",
        1,
        True,
        {
            "image": rf"\n\n<\|image>{_run('<|image|>')}<image\|>\n\n",
            "video": rf"\n\n(?:00:0\d <\|image>{_run('<|video|>', '{60}')}<image\|> ?){{8}}\n\n",
            "audio": rf"<\|audio>{_run('<|audio|>', '{38}')}<audio\|>",
        },
        trims=True,
    ),
    "phi4_multimodal": Family(
        "Phi4MultimodalForCausalLM",
        0,
        False,
        {
            "image": rf"<\|user\|>{_run('<|image|>')}What",
            "audio": rf"<\|user\|>{_run('<|audio|>', '{19}')}What",
        },
    ),
}


@dataclass(frozen=True)
class Loaded:
    """A family's toy, as anyone loads it, and what is published of it."""

    name: str
    folder: Path
    model: Any
    processor: Any
    family: Family

    @property
    def template(self) -> str | None:
        """The template to pass: Phi-4 multimodal's processor leaves its own with the tokenizer."""
        return None if self.processor.chat_template else self.processor.tokenizer.chat_template

    def render(self, *messages: dict[str, Any], **arguments: Any) -> str:
        """The rendered text of messages."""
        text = self.processor.apply_chat_template(
            copy.deepcopy(list(messages)), self.template, tokenize=False, **arguments
        )
        assert isinstance(text, str)
        return text

    def encode(self, *content: dict[str, Any], **settings: Any) -> dict[str, Any]:
        """A user message's inputs, of shape (1, tokens) and so on, in the model's dtype."""
        if any(part["type"] == "video" for part in content):
            settings |= {"video_metadata": [VideoMetadata(**METADATA)], "do_sample_frames": False}
        inputs = self.processor.apply_chat_template(
            [{"role": "user", "content": list(content)}],
            self.template,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs=settings,
        )
        # Llama 4's processor gives pixels in bfloat16, whatever the model's type.
        return {
            key: value.to(self.model.dtype) if torch.is_floating_point(value) else value
            for key, value in inputs.items()
            if isinstance(value, torch.Tensor)
        }


@pytest.fixture(scope="module", params=FAMILIES)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    name: str = request.param
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    folder = tmp_path_factory.mktemp(name)
    TOYS[name](folder)
    model = getattr(hf, TOYS[name].auto).from_pretrained(folder)
    processor = hf.AutoProcessor.from_pretrained(folder)
    return Loaded(name, folder, model, processor, FAMILIES[name])


def text(written: str = "What?") -> dict[str, str]:
    return {"type": "text", "text": written}


def image(width: int = 130, height: int = 150, seed: int = 0) -> dict[str, Any]:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return {"type": "image", "image": Image.fromarray(pixels)}


def video(seed: int = 0) -> dict[str, Any]:
    return {
        "type": "video",
        "video": np.random.default_rng(seed).integers(0, 256, FRAMES, dtype=np.uint8),
    }


def audio(seed: int = 0) -> dict[str, Any]:
    noise = np.random.default_rng(seed).standard_normal(int(SECONDS * 16_000))
    return {"type": "audio", "audio": (0.1 * noise).astype(np.float32)}


MEDIA: dict[str, Callable[..., dict[str, Any]]] = {"image": image, "video": video, "audio": audio}


def contents(takes: frozenset[str]) -> dict[str, list[dict[str, Any]]]:
    """Contents of all forms that a family takes."""
    forms = {
        "text": [text()],
        "one image": [image(), text()],
        "two adjacent images": [image(96, 64), image(64, 128), text()],
        "image, text, image": [image(96, 64), text("and"), image(), text()],
    }
    if "video" in takes:
        forms["one video"] = [video(), text()]
    if "audio" in takes:
        forms |= {"audio": [audio(), text()], "image and audio": [image(), audio(), text()]}
    return forms


def test_every_family_is_here() -> None:
    assert FAMILIES.keys() == TOYS.keys()
    assert NEEDS.keys() <= TOYS.keys()
    for name, family in FAMILIES.items():
        assert TOYS[name].takes == {"text", *family.spans}


def test_loads_as_published(loaded: Loaded) -> None:
    """GIVEN a saved toy THEN the auto classes load the family's own, small and with an end."""
    assert type(loaded.model).__name__ == loaded.family.model
    config = loaded.model.config.get_text_config()
    assert (config.num_hidden_layers, config.hidden_size) == (4, 64)
    assert config.vocab_size >= len(loaded.processor.tokenizer)
    assert loaded.model.generation_config.eos_token_id is not None
    assert sum(file.stat().st_size for file in loaded.folder.iterdir()) < BYTES


def test_no_setting_of_media_is_the_tokenizers(loaded: Loaded) -> None:
    """GIVEN a toy's tokenizer THEN no setting of its file would reach an image's processing."""
    settings = set(loaded.processor.tokenizer.init_kwargs)
    names = set(loaded.processor.image_processor.valid_kwargs.__annotations__)
    assert "size" in names
    assert not settings & (names | {"max_length", "truncation", "padding", "sampling_rate"})


def test_generates_from_every_form(loaded: Loaded) -> None:
    """GIVEN contents of all forms THEN plain generation adds tokens to the prompt's."""
    for form, content in contents(TOYS[loaded.name].takes).items():
        inputs = loaded.encode(*content)
        made = loaded.model.generate(**inputs, max_new_tokens=3, do_sample=False)
        length = inputs["input_ids"].shape[1]
        assert torch.equal(made[:, :length], inputs["input_ids"]), form
        assert 1 <= made.shape[1] - length <= 3, form


def test_each_medium_moves_the_logits(loaded: Loaded) -> None:
    """GIVEN two contents that differ in one medium's values THEN so do the last logits."""
    for kind in loaded.family.spans:
        one, other = (
            loaded.model(**loaded.encode(MEDIA[kind](seed=seed), text())).logits[0, -1].detach()
            for seed in (0, 1)
        )
        assert (one - other).abs().max() > CHANGE * one.std(), kind


def test_bos_stands_as_published(loaded: Loaded) -> None:
    """GIVEN a message THEN the tokenizer, and processing without care, write BOS as published."""
    tokens, family = loaded.processor.tokenizer, loaded.family
    ids = loaded.encode(text())["input_ids"][0].tolist()
    assert ids.count(tokens.bos_token_id) == family.written
    assert (tokens("a")["input_ids"][0] == tokens.bos_token_id) == family.added
    if family.written:
        assert ids[0] == tokens.bos_token_id
    twice = family.added and loaded.render({"role": "user", "content": "a"}).startswith(
        tokens.bos_token
    )
    # LLaVA's templates leave BOS to the tokenizer; LFM2-VL's processor asks for no special tokens.
    assert twice == (family.added and loaded.name not in {"llava", "llava_next"})


def test_texts_are_trimmed_as_published(loaded: Loaded) -> None:
    for content in (QUESTION, [image(), text(QUESTION)]):
        rendered = loaded.render({"role": "user", "content": content})
        assert QUESTION.strip() in rendered
        assert (QUESTION in rendered) != loaded.family.trims


def test_media_expand_as_published(loaded: Loaded) -> None:
    """GIVEN one medium THEN its wrappers, rows, tiles and timestamps stand where they should."""
    for kind, pattern in loaded.family.spans.items():
        ids = loaded.encode(MEDIA[kind](), text())["input_ids"][0]
        expanded = loaded.processor.tokenizer.decode(ids)
        found = re.findall(pattern, expanded)
        assert len(found) == 1, (kind, expanded)


def test_media_stand_where_published(loaded: Loaded) -> None:
    """GIVEN a text before an image THEN the image is first in families that say so only."""
    rendered = loaded.render({"role": "user", "content": [text("before"), image()]})
    mark = loaded.processor.image_token
    assert (rendered.index(mark) < rendered.index("before")) == loaded.family.first


def test_replacement_offsets_rebuild_the_prompt(loaded: Loaded) -> None:
    """GIVEN the report of replacements THEN the text that it expands to has the prompt's ids."""
    tokens = loaded.processor.tokenizer
    for form, content in contents(TOYS[loaded.name].takes).items():
        media = [part for part in content if part["type"] != "text"]
        if not media:
            continue  # Idefics 3's processor reports nothing where there is nothing to replace.
        plain = loaded.render({"role": "user", "content": content}, add_generation_prompt=True)
        adds = not plain.startswith(tokens.bos_token or "<none>")
        inputs = loaded.processor(
            text=[plain],
            add_special_tokens=adds,
            return_tensors="pt",
            return_text_replacement_offsets=True,
            **processor_arguments(media),
        )
        reports = inputs["text_replacement_offsets"][0]
        expanded = rebuild(plain, reports)
        for report in reports:
            begin, end = report["new_span"]
            assert expanded[begin:end] == report["replacement"], form
        again = tokens(expanded, add_special_tokens=adds)["input_ids"]
        assert again == inputs["input_ids"][0].tolist(), form
        assert sorted(report["type"] for report in reports) == sorted(m["type"] for m in media)


def processor_arguments(media: list[dict[str, Any]]) -> dict[str, Any]:
    """The arguments by which a processor takes media; `audio` has no plural."""
    found: dict[str, Any] = {}
    for part in media:
        kind = part["type"]
        found.setdefault("audio" if kind == "audio" else f"{kind}s", []).append(part[kind])
    if "videos" in found:
        found |= {"video_metadata": [VideoMetadata(**METADATA)], "do_sample_frames": False}
    return found


def rebuild(plain: str, reports: list[dict[str, Any]]) -> str:
    """`plain` with every reported replacement made."""
    parts, end = [], 0
    for report in reports:
        parts += [plain[end : report["span"][0]], report["replacement"]]
        end = report["span"][1]
    return "".join([*parts, plain[end:]])


@pytest.fixture
def save_and_load(tmp_path: Path) -> Any:
    def load(name: str) -> Any:
        TOYS[name](tmp_path)
        return hf.AutoProcessor.from_pretrained(tmp_path)

    return load


def test_onevision_swaps_video_and_image(save_and_load: Any) -> None:
    """GIVEN a video before an image THEN LLaVA-OneVision's template writes the image first."""
    processor = save_and_load("llava_onevision")
    message = {"role": "user", "content": [{"type": "video"}, text(), {"type": "image"}]}
    rendered = processor.apply_chat_template([message], tokenize=False)
    assert rendered == "<|im_start|>user <image><video>\nWhat?<|im_end|>"


def test_qwen2_vl_has_a_default_system_message(save_and_load: Any) -> None:
    processor = save_and_load("qwen2_vl")
    user = {"role": "user", "content": "What?"}
    begin = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
    assert processor.apply_chat_template([user], tokenize=False).startswith(begin)
    own = [{"role": "system", "content": "Be brief."}, user]
    assert "helpful" not in processor.apply_chat_template(own, tokenize=False)


def test_qwen3_5_thinks(save_and_load: Any) -> None:
    """GIVEN answers that thought THEN only those after the last question keep it."""
    processor = save_and_load("qwen3_5")
    chat = [
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "<think>\nearlier\n</think>\n\nOne."},
        {"role": "user", "content": "Two?"},
        {"role": "assistant", "content": "Two.", "reasoning_content": "later"},
    ]
    rendered = processor.apply_chat_template(chat, tokenize=False)
    assert "assistant\nOne.<|im_end|>" in rendered
    assert "assistant\n<think>\nlater\n</think>\n\nTwo.<|im_end|>" in rendered
    for arguments, end in (({}, "<think>\n"), ({"enable_thinking": False}, "</think>\n\n")):
        prompt = processor.apply_chat_template(
            chat[:1], tokenize=False, add_generation_prompt=True, **arguments
        )
        assert prompt.endswith(end)


def test_gemma3_has_no_system_turn_and_alternates(save_and_load: Any) -> None:
    processor = save_and_load("gemma3")
    system = {"role": "system", "content": [text("Be brief.")]}
    user = {"role": "user", "content": [text("What?")]}
    rendered = processor.apply_chat_template([system, user], tokenize=False)
    assert rendered == "<bos><start_of_turn>user\nBe brief.\n\nWhat?<end_of_turn>\n"
    with pytest.raises(TemplateError, match="Roles must be"):
        processor.apply_chat_template([user, user], tokenize=False)


def test_mistral3_refuses_other_roles(save_and_load: Any) -> None:
    processor = save_and_load("mistral3")
    with pytest.raises(TemplateError, match="Only user"):
        processor.apply_chat_template([{"role": "critic", "content": "No."}], tokenize=False)
