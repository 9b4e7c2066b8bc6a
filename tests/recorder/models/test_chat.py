"""The adapter of all chat models: what it refuses, and the road without the processor's report."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.timeline import Modality
from recorder.inputs.samples import Content, Message
from recorder.models import processing
from recorder.models.adapter import describe_model, load_adapter
from recorder.models.settings import Weights
from recorder.passes.capture import confirm, install
from recorder.passes.generate import generate
from tests.recorder.families.checks import OPTIONS, wanted
from tests.recorder.families.models import (
    FACT,
    NOT_TOGETHER,
    chat,
    load,
    plain,
    sample,
    watched,
)
from tests.recorder.toys import hf, sizes, tokenizer

CPU = Weights("float32", "cpu")


def test_models_that_cannot_be_recorded(tmp_path: Path) -> None:
    tokens = tokenizer()
    tokens.chat_template = None
    hf.LlamaForCausalLM(hf.LlamaConfig(**sizes(tokens))).save_pretrained(tmp_path / "silent")
    tokens.save_pretrained(tmp_path / "silent")
    (tmp_path / "silent" / "chat_template.jinja").unlink(missing_ok=True)
    with pytest.raises(CommandError, match="no chat template"):
        load_adapter(describe_model(str(tmp_path / "silent")), CPU)
    hf.T5Config(d_model=8, num_layers=1).save_pretrained(tmp_path / "t5")
    with pytest.raises(CommandError, match="encoder-decoder"):
        load_adapter(describe_model(str(tmp_path / "t5")), CPU)
    hf.MllamaConfig().save_pretrained(tmp_path / "mllama")
    with pytest.raises(CommandError, match="cross-attention"):
        load_adapter(describe_model(str(tmp_path / "mllama")), CPU)
    masked = hf.BertConfig(hidden_size=8, num_hidden_layers=1, architectures=["BertForMaskedLM"])
    masked.save_pretrained(tmp_path / "bert")
    with pytest.raises(CommandError, match="writes no answers"):
        load_adapter(describe_model(str(tmp_path / "bert")), CPU)


def test_a_type_that_transformers_does_not_know(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "telepathy"}')
    with pytest.raises(CommandError, match="telepathy"):
        describe_model(str(tmp_path))


def test_attention_outside_the_interface_is_noticed() -> None:
    torch.manual_seed(0)
    model = hf.LlamaForCausalLM(hf.LlamaConfig(**sizes(tokenizer())))
    install(model, "")
    layer = model.model.layers[2].self_attn
    layer.forward = lambda hidden_states, **_: (hidden_states, None)
    with pytest.raises(CommandError, match="only 3 of the model's 4 layers"):
        confirm(model, 4)


@pytest.mark.parametrize(
    ("family", "part", "takes"),
    [
        ("llama3", "image:photo.png", "it takes text;"),
        ("llava", "audio:speech.wav", "it takes text and image;"),
        ("qwen2_audio", "video:film.mp4", "it takes text and audio;"),
    ],
)
def test_media_that_the_model_does_not_take(family: str, part: str, takes: str) -> None:
    with pytest.raises(OmniTraceError, match="the model's processor marks no") as error:
        plain(family).prepare(sample(part, "What?"))
    assert takes in str(error.value)


def test_a_prompt_longer_than_the_context() -> None:
    with pytest.raises(OmniTraceError, match="the model takes at most 4096"):
        plain("llama3").prepare(sample("one two three four " * 2000))


def test_a_text_that_spells_a_placeholder() -> None:
    with pytest.raises(OmniTraceError, match="contains '<image>'"):
        plain("llava").prepare(sample("What is <image>?"))


@pytest.mark.parametrize("family", NOT_TOGETHER)
def test_what_a_model_cannot_take_together_costs_its_sample_alone(family: str) -> None:
    adapter, _ = watched(family)
    both = adapter.prepare(sample("video:silent.mp4", "image:photo.png", "What?"))
    with pytest.raises(OmniTraceError, match="the model fails on what its processor made"):
        generate(adapter, [both], OPTIONS, wanted(family))
    one = adapter.prepare(sample("image:photo.png", "What?"))
    assert len(generate(adapter, [one], OPTIONS, wanted(family))) == 1


def test_audio_that_the_processor_would_cut(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", np.zeros(31 * 16_000, np.float32), 16_000)
    content = Content("audio", path=tmp_path / "long.wav")
    asked = chat(Message("user", (content, Content("text", text="What?"))))
    with pytest.raises(OmniTraceError, match=r"long\.wav lasts 31\.0 s, .* only the first 30\.0 s"):
        plain("qwen2_audio").prepare(asked)
    found = plain("audioflamingo3").prepare(asked)
    assert found.prompt.timeline.end_s[found.prompt.timeline.modality == Modality.AUDIO].max() == 31


def test_a_template_that_puts_images_first_swaps_no_tokens() -> None:
    adapter: Any = plain("llava_onevision")
    found = adapter.prepare(sample("video:silent.mp4", "image:photo.png", "Which?"))
    line, config = found.prompt.timeline, adapter.model.config
    own = {
        m: set(found.prompt.prompt_ids[(line.medium == m) & (line.modality < 4)]) for m in (0, 1)
    }
    assert own == {0: {config.video_token_index}, 1: {config.image_token_index}}
    assert np.flatnonzero(line.medium == 1).max() < np.flatnonzero(line.medium == 0).min()


@pytest.fixture
def unreported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processors do not say what they replaced."""
    true = processing.process

    def process(processor: Any, prompt: str, media: Any) -> processing.Processed:
        return dataclasses.replace(true(processor, prompt, media), report=None)

    monkeypatch.setattr(processing, "process", process)


@pytest.mark.parametrize(
    ("family", "parts"),
    [
        ("qwen2_5_vl", ("Look:", "image:photo.png", "video:silent.mp4", "image:tall.jpg", "What?")),
        ("llava", ("image:photo.png", "What?")),
        ("llava_onevision", ("video:silent.mp4", "image:photo.png", "Which?")),
        ("qwen2_audio", ("audio:speech.wav", "What?")),
    ],
)
def test_runs_of_placeholders_place_what_the_report_places(
    family: str, parts: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    adapter = load(family)
    expected = adapter.prepare(sample(*parts))
    request.getfixturevalue("unreported")
    found = adapter.prepare(sample(*parts))
    assert found.prompt.prompt_text == expected.prompt.prompt_text
    for field in dataclasses.fields(found.prompt.timeline):
        np.testing.assert_array_equal(
            getattr(found.prompt.timeline, field.name),
            getattr(expected.prompt.timeline, field.name),
        )


@pytest.mark.usefixtures("unreported")
def test_images_that_run_together_without_a_report() -> None:
    adapter = load("llava_onevision")
    with pytest.raises(OmniTraceError, match="lays 2 media out as 1 runs"):
        adapter.prepare(sample("image:photo.png", "image:tall.jpg", "What?"))


def test_a_text_alone_has_no_media() -> None:
    found = plain("qwen3_vl").prepare(sample(FACT))
    assert found.prompt.media == ()
    assert set(found.prompt.timeline.medium) == {-1}
