"""Every token of a prompt is what the timeline says: part, medium, second, patch, characters."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.timeline import Modality, Part
from recorder.config import TINY_OMNI
from recorder.inputs import media
from recorder.inputs.samples import Content, Message, Sample, read_samples
from recorder.models.adapter import Prepared, describe_model, load_adapter
from recorder.models.qwen_omni import QwenOmni, rope_positions
from recorder.models.settings import Settings, Weights, choose_device
from tests.recorder.conftest import MP4_SECONDS, WAV_SECONDS, user, write_rows, write_speech

MIXED = (
    "Look:\n", "video:silent.mp4", "audio:speech.wav", "image:photo.png", "and", "video:film.mp4",
    "What?",
)  # fmt: skip


def of(prepared: Prepared, modality: Modality, medium: int | None = None) -> Any:
    chosen = prepared.prompt.timeline.modality == modality
    return chosen if medium is None else chosen & (prepared.prompt.timeline.medium == medium)


def texts(prepared: Prepared) -> list[str]:
    """What the timeline says each text part says."""
    said = []
    for index, part in enumerate(prepared.prompt.parts):
        chars = prepared.prompt.timeline.chars[prepared.prompt.timeline.part == index]
        if part.medium < 0:
            said.append("".join(prepared.prompt.prompt_text[a:b] for a, b in chars))
    return said


def test_ids_are_the_processors(adapter: QwenOmni, make_sample: Callable[..., Sample]) -> None:
    """The prompt equals what transformers' own chat processing makes of arrays."""
    prepared = adapter.prepare(make_sample("Look:", "image:photo.png", "What?"))
    image = media.load_image(make_sample("image:photo.png").paths[0])
    content = [
        {"type": "text", "text": "Look:"},
        {"type": "image", "image": image},
        {"type": "text", "text": "What?"},
    ]
    expected = adapter.processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    assert prepared.prompt.prompt_ids.tolist() == expected["input_ids"][0].tolist()
    torch.testing.assert_close(prepared.inputs["pixel_values"], expected["pixel_values"])


def test_short_padding_gives_the_processors_sound_features(
    adapter: QwenOmni, make_sample: Callable[..., Sample]
) -> None:
    sample = make_sample("audio:speech.wav", "What?")
    features = adapter.prepare(sample).inputs["input_features"]
    sound = media.load_audio(sample.paths[0], adapter.rate)
    whole = adapter.processor.feature_extractor(
        sound, sampling_rate=adapter.rate, padding="max_length", return_tensors="pt"
    )["input_features"]
    frames = -(-len(sound) // 160)
    assert features.shape[-1] < whole.shape[-1]
    torch.testing.assert_close(features[..., :frames], whole[..., :frames], atol=1e-6, rtol=0)


def test_text_parts(adapter: QwenOmni, folder: Path) -> None:
    """Texts that look like the template, touch each other, or are not in NFC keep their places."""
    parts = ["user\n", "\n\nassistant", "e\u0301 你好 🙂", " x"]
    rows = [
        {"id": "a", "messages": [{"role": "system", "content": "Be\nkind."}, user(*parts)]},
    ]
    [sample] = read_samples(write_rows(folder, rows))
    prepared = adapter.prepare(sample)
    assert prepared.prompt.parts == (Part("system", "text"), *[Part("user", "text")] * 4)
    said = texts(prepared)
    assert "".join(said) == prepared.prompt.prompt_text
    # "user\n" + "\n\n" is one token: it stands with the part that it begins in.
    assert [piece.strip("\n") for piece in said] == [
        "Be\nkind.",
        "user",
        "assistant",
        "é 你好 🙂",
        " x",
    ]
    is_text = of(prepared, Modality.TEXT)
    assert (prepared.prompt.timeline.part[is_text] >= 0).all()
    assert (prepared.prompt.timeline.part[~is_text] == -1).all()
    decoded = adapter.decode(prepared.prompt.prompt_ids[~is_text].tolist())
    assert decoded.count("<|im_start|>") == 3
    assert decoded.endswith("<|im_start|>assistant\n")


def test_pictures(adapter: QwenOmni, make_sample: Callable[..., Sample]) -> None:
    prepared = adapter.prepare(make_sample("image:photo.png", "and", "image:tall.jpg", "?"))
    line = prepared.prompt.timeline
    assert [(m.kind, m.name, m.width, m.height) for m in prepared.prompt.media] == [
        ("image", "photo.png", 517, 301),
        ("image", "tall.jpg", 32, 64),
    ]
    for index, (_, height, width) in enumerate(prepared.inputs["image_grid_thw"].tolist()):
        tokens = of(prepared, Modality.IMAGE, index)
        rows, columns = np.mgrid[0 : height // 2, 0 : width // 2]
        assert line.row[tokens].tolist() == rows.reshape(-1).tolist()
        assert line.column[tokens].tolist() == columns.reshape(-1).tolist()
        assert (line.frame[tokens] == 0).all()
        assert np.isnan(line.start_s[tokens]).all()
        assert set(line.part[tokens]) == {2 * index}
    (_, high, wide), (_, higher, narrow) = prepared.inputs["image_grid_thw"].tolist()
    assert wide > high
    assert higher > narrow


def test_sound(adapter: QwenOmni, make_sample: Callable[..., Sample]) -> None:
    """25 tokens a second, the last one ending with the sound."""
    prepared = adapter.prepare(make_sample("audio:speech.wav", "What?"))
    line, tokens = prepared.prompt.timeline, of(prepared, Modality.AUDIO, 0)
    assert adapter.token_seconds == pytest.approx(0.04)
    assert tokens.sum() == round(25 * WAV_SECONDS)
    np.testing.assert_allclose(line.start_s[tokens], np.arange(tokens.sum()) * 0.04, atol=1e-9)
    assert prepared.prompt.media[0].duration_s == pytest.approx(WAV_SECONDS, abs=1e-3)
    assert line.end_s[tokens][-1] == prepared.prompt.media[0].duration_s
    assert (line.row[tokens] == -1).all()


@pytest.mark.parametrize("name", ["film.mp4", "silent.mp4"])
def test_films(name: str, adapter: QwenOmni, make_sample: Callable[..., Sample]) -> None:
    """Two frames share tokens: one group a second at two frames a second; sound lies between."""
    prepared = adapter.prepare(make_sample(f"video:{name}", "What?"))
    line, seen = prepared.prompt.timeline, of(prepared, Modality.VIDEO, 0)
    heard = of(prepared, Modality.AUDIO, 0)
    [[groups, height, width]] = prepared.inputs["video_grid_thw"].tolist()
    assert groups == MP4_SECONDS
    frame, row, column = np.indices((groups, height // 2, width // 2)).reshape(3, -1)
    for found, expected in ((line.frame, frame), (line.row, row), (line.column, column)):
        assert found[seen].tolist() == expected.tolist()
    np.testing.assert_allclose(line.start_s[seen], frame)
    np.testing.assert_allclose(line.end_s[seen], frame + 1)
    assert prepared.prompt.media[0].duration_s == pytest.approx(4, abs=0.01)
    assert heard.sum() == (25 * MP4_SECONDS if name == "film.mp4" else 0)
    assert (prepared.prompt.timeline.part[seen | heard] == 0).all()
    if heard.any():
        # Two seconds of picture, two of sound, and so on.
        order = line.modality[(line.part == 0)]
        assert np.count_nonzero(np.diff(order[1:-1].astype(int))) == MP4_SECONDS - 1
        wraps = (line.part == 0) & ~(seen | heard)
        assert set(line.modality[wraps]) == {Modality.SPECIAL}
        assert set(line.medium[wraps]) == {0}
        assert (
            adapter.decode(prepared.prompt.prompt_ids[wraps].tolist())
            == "<|audio_bos|><|audio_eos|>"
        )
        np.testing.assert_allclose(line.start_s[heard], np.arange(heard.sum()) * 0.04, atol=1e-9)


def test_other_frame_rates(folder: Path, adapter: QwenOmni) -> None:
    [sample] = read_samples(write_rows(folder, [{"id": "a", "messages": [user("video:film.mp4")]}]))
    prepared = QwenOmni(adapter.model, adapter.processor, Settings(fps=1.0)).prepare(sample)
    seen = of(prepared, Modality.VIDEO)
    assert set(prepared.prompt.timeline.start_s[seen]) == {0.0, 2.0}
    assert set(prepared.prompt.timeline.end_s[seen]) == {2.0, 4.0}
    assert prepared.inputs["video_second_per_grid"].tolist() == [2.0]


def test_a_mixed_prompt(adapter: QwenOmni, make_sample: Callable[..., Sample]) -> None:
    prepared = adapter.prepare(make_sample(*MIXED))
    assert texts(prepared) == ["Look:\n", "and", "What?"]
    assert [m.kind for m in prepared.prompt.media] == ["video", "audio", "image", "video"]
    kinds = [Modality.VIDEO, Modality.AUDIO, Modality.IMAGE, Modality.VIDEO]
    for index, kind in enumerate(kinds):
        tokens = of(prepared, kind, index)
        assert tokens.any()
        assert set(prepared.prompt.timeline.part[tokens]) == {[1, 2, 3, 5][index]}
    assert of(prepared, Modality.AUDIO, 0).sum() == 0
    assert of(prepared, Modality.AUDIO, 3).sum() == 25 * MP4_SECONDS


def test_positions_of_silent_beside_sounding_films(
    adapter: QwenOmni, make_sample: Callable[..., Sample]
) -> None:
    """The model's temporal position runs at 25 a second within every medium, and never back."""
    prepared = adapter.prepare(make_sample(*MIXED))
    line = prepared.prompt.timeline
    text, temporal = prepared.inputs["position_ids"][:2, 0].numpy()
    assert text.tolist() == list(range(prepared.prompt.n))
    for medium in (0, 1, 3):
        tokens = (line.medium == medium) & np.isfinite(line.start_s)
        expected = np.floor(line.start_s[tokens] * 25 + 1e-6)
        assert (temporal[tokens] - temporal[tokens].min()).tolist() == expected.tolist()
    starts = [temporal[line.medium == m].min() for m in range(4)]
    assert starts == sorted(starts)
    assert (np.diff(temporal[line.modality == Modality.TEXT]) > 0).all()


@pytest.mark.parametrize(
    "parts",
    [
        ("image:photo.png", "a", "image:tall.jpg", "audio:speech.wav", "b"),
        ("a", "video:film.mp4", "b", "image:photo.png", "audio:speech.wav", "video:film.mp4"),
        ("video:silent.mp4", "a", "video:silent.mp4", "audio:speech.wav"),
    ],
)
def test_positions_by_stretches_are_the_models(
    parts: tuple[str, ...], adapter: QwenOmni, make_sample: Callable[..., Sample]
) -> None:
    """Taking the prompt medium by medium changes nothing where the model's own way is right."""
    sample = make_sample(*parts)
    prepared = adapter.prepare(sample)
    loaded = adapter.load_media(sample)
    inputs = prepared.inputs
    frames = inputs.get("feature_attention_mask")
    expected, _ = adapter.model.get_rope_index(
        inputs["input_ids"],
        inputs.get("image_grid_thw"),
        inputs.get("video_grid_thw"),
        inputs["attention_mask"],
        inputs.get("use_audio_in_video", False),
        None if frames is None else frames.sum(-1),
        inputs.get("video_second_per_grid"),
    )
    cuts = [
        int(np.flatnonzero(prepared.prompt.timeline.medium == index)[-1])
        + (3 if medium.video and medium.audio is not None else 2)
        for index, medium in enumerate(loaded)
    ]
    found = rope_positions(adapter.model, dict(inputs), loaded, cuts)
    assert found[1:].tolist() == expected.tolist()


def test_several_films_beyond_the_frame_limit(
    adapter: QwenOmni, make_sample: Callable[..., Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "MAX_FRAMES", 4)
    prepared = adapter.prepare(make_sample("video:film.mp4", "video:silent.mp4"))
    assert prepared.inputs["video_grid_thw"][:, 0].tolist() == [2, 2]
    assert prepared.prompt.timeline.end_s[of(prepared, Modality.VIDEO)].max() == pytest.approx(
        4, abs=0.01
    )


@pytest.mark.parametrize("word", ["<|IMAGE|>", "<|im_end|>", "<|AUDIO|>", "<|vision_bos|>"])
def test_control_tokens_in_a_text_are_refused(word: str, adapter: QwenOmni) -> None:
    message = Message("user", (Content("text", f"Say {word} twice."),))
    with pytest.raises(OmniTraceError, match="a control token of the model") as caught:
        adapter.prepare(Sample("a", (message,), None, ""))
    assert f"'{word}'" in str(caught.value)


def test_too_short_a_sound(adapter: QwenOmni, tmp_path: Path) -> None:
    write_speech(tmp_path / "x.wav", rate=80)
    message = Message("user", (Content("audio", path=tmp_path / "x.wav"),))
    sample = Sample("a", (message,), None, "")
    adapter.prepare(sample)
    (tmp_path / "x.wav").write_bytes((tmp_path / "x.wav").read_bytes()[:48])
    with pytest.raises(OmniTraceError, match="is too short"):
        adapter.prepare(sample)


def test_too_long_a_prompt(adapter: QwenOmni, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter.model.config.text_config, "max_position_embeddings", 20)
    message = Message("user", (Content("text", "One two three. " * 9),))
    with pytest.raises(OmniTraceError, match=r"the model takes at most 20: shorten it"):
        adapter.prepare(Sample("a", (message,), None, ""))


def test_a_picture_too_narrow_for_the_processor(adapter: QwenOmni, tmp_path: Path) -> None:
    import PIL.Image

    PIL.Image.new("RGB", (1000, 2)).save(tmp_path / "x.png")
    message = Message("user", (Content("image", path=tmp_path / "x.png"),))
    with pytest.raises(OmniTraceError, match="processor refuses the sample: absolute aspect ratio"):
        adapter.prepare(Sample("a", (message,), None, ""))


def test_templates_that_cut_texts_are_refused(
    adapter: QwenOmni, make_sample: Callable[..., Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    template = adapter.processor.chat_template
    changed = template.replace("{{ content['text'] }}", "{{ content['text'][2:] }}")
    assert changed != template
    monkeypatch.setattr(adapter.processor, "chat_template", changed)
    with pytest.raises(OmniTraceError, match="chat template changes or drops"):
        adapter.prepare(make_sample("hello"))


def test_the_full_models_checkpoint(
    adapter: QwenOmni, make_sample: Callable[..., Sample], tmp_path: Path
) -> None:
    """Weights under `thinker.`, a talker beside them, the thinker's configuration within."""
    for file in TINY_OMNI.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = safetensors.torch.load_file(TINY_OMNI / "model.safetensors")
    full = {f"thinker.{name}": value for name, value in weights.items()}
    full["talker.codec_head.weight"] = torch.zeros(2, 2)
    safetensors.torch.save_file(full, tmp_path / "model.safetensors", {"format": "pt"})
    thinker = json.loads((TINY_OMNI / "config.json").read_text())
    config = {"model_type": "qwen2_5_omni", "thinker_config": thinker, "dtype": "float32"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    loaded = load_adapter(describe_model(str(tmp_path)), Weights("auto", "cpu"))
    ours = loaded.prepare(make_sample("image:photo.png", "What?"))
    theirs = adapter.prepare(make_sample("image:photo.png", "What?"))
    with torch.inference_mode():
        torch.testing.assert_close(
            loaded.model(**ours.inputs).logits, adapter.model(**theirs.inputs).logits
        )


def test_models_that_cannot_be_recorded(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="there is no folder"):
        describe_model(str(tmp_path / "gone"))
    with pytest.raises(CommandError, match="cannot load the model"):
        describe_model(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(CommandError, match=r"cannot load the model"):
        load_adapter(describe_model(str(tmp_path)), Weights("auto", "cpu"))
    (tmp_path / "config.json").write_bytes((TINY_OMNI / "config.json").read_bytes())
    with pytest.raises(CommandError, match="cannot load the model"):
        load_adapter(describe_model(str(tmp_path)), Weights("auto", "cpu"))


@pytest.mark.parametrize("name", ["tpu9000", "cuda:77"])
def test_devices_that_are_not_there(name: str) -> None:
    with pytest.raises(CommandError, match=f"device '{name}' cannot be used here"):
        choose_device(name)
