"""Prompts from ten public reports about other tools, recreated: what went wrong there is right."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import soundfile
import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from omnitrace import open_run
from omnitrace.cli import main
from omnitrace.errors import OmniTraceError
from omnitrace.timeline import Modality
from recorder.inputs.samples import Sample, read_samples
from recorder.models.adapter import Prepared
from recorder.passes import capture
from recorder.passes.capture import confirm, install
from recorder.passes.generate import Answer, GenerationOptions, force, generate
from tests.recorder.answers import answer_one
from tests.recorder.families.checks import attentions_of, forward, wanted
from tests.recorder.families.models import (
    BUNDLED,
    checkpoint,
    eager,
    load,
    media_folder,
    plain,
    watched,
)
from tests.recorder.families.test_flash import flash_double
from tests.recorder.passes.test_batch import assert_same
from tests.recorder.passes.test_capture import rows_of
from tests.recorder.test_chats import CALL, RESULT, TOOL, assistant, bare, own_ids, texts_of, user

Row = dict[str, Any]
OPTIONS = GenerationOptions(max_new_tokens=3)


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Sample]:
    """A sample of these messages, read from a line of a file as a user would write it."""

    def sample(*messages: Row, **more: Any) -> Sample:
        path = tmp_path / "samples.jsonl"
        path.write_text(json.dumps({"id": "a", "messages": messages, **more}), "utf-8")
        [found] = read_samples(path)
        return found

    return sample


def write_frames(folder: Path, count: int, size: tuple[int, int]) -> list[str]:
    """Images of one size, each with its own pattern."""
    rng = np.random.default_rng(0)
    names = []
    for number in range(count):
        pixels = rng.integers(0, 255, (size[1], size[0], 3), np.uint8)
        names.append(str(folder / f"frame-{number}.png"))
        PIL.Image.fromarray(pixels).save(names[-1])
    return names


def groups(prepared: Prepared, medium: int = 0) -> list[tuple[float, float]]:
    """Start and end of each group of frames of a video."""
    line = prepared.prompt.timeline
    own = (line.medium == medium) & (line.modality == Modality.VIDEO)
    return list(
        dict.fromkeys(zip(line.start_s[own].tolist(), line.end_s[own].tolist(), strict=True))
    )


def assert_rows_are_eagers(family: str, prepared: Prepared, answer: Answer) -> None:
    """Rows equal those of eager forward passes over prompt and answer."""
    n, ids = prepared.prompt.n, answer.ids.tolist()
    means, lasts = (rows_of(answer.signals[name], n, len(ids)) for name in ("attmean", "rawatt"))
    with torch.no_grad():
        for t in range(len(ids)):
            out = forward(eager(family, False), dict(prepared.inputs), ids[:t])
            last = torch.stack([layer[0, :, -1] for layer in attentions_of(out)])
            np.testing.assert_allclose(means[t], last.mean((0, 1)), atol=4e-6, rtol=0)
            np.testing.assert_allclose(lasts[t], last[-1].mean(0), atol=4e-6, rtol=0)


def assert_plain_generation(family: str, prepared: Prepared, answer: Answer) -> None:
    tokens = plain(family).model.generate(
        **prepared.inputs, max_new_tokens=OPTIONS.max_new_tokens, do_sample=False
    )
    expected = tokens[0, prepared.prompt.n :].tolist()
    if answer.finish == "eos":
        expected.pop()
    assert answer.ids.tolist() == expected


# QwenLM/Qwen3-VL#2047: on yes/no questions attention was seen in the image's top left corner alone.
# Rows over an image's patches are those of eager attention, and every patch lies where its pixels
# do: nothing is shifted, transposed or reordered between the two.


@pytest.mark.parametrize("family", ["qwen3_vl", "qwen2_5_vl"])
def test_patches_of_a_yes_or_no_answer_are_where_their_pixels_are(
    family: str, tmp_path: Path, read: Callable[..., Sample]
) -> None:
    rows, columns = 4, 5
    side = 32 if family == "qwen3_vl" else 28
    shades = np.random.default_rng(2).permutation(rows * columns).reshape(rows, columns)
    pixels = np.kron(12 * shades, np.ones((side, side))).astype(np.uint8)
    PIL.Image.fromarray(pixels).convert("RGB").save(tmp_path / "planted.png")
    content = [
        {"type": "image", "image": "planted.png"},
        {"type": "text", "text": "Is the lamp on? Answer yes or no."},
    ]
    adapter, _ = watched(family)
    prepared = adapter.prepare(read(user(content)))
    line = prepared.prompt.timeline
    tokens = np.flatnonzero(line.modality == Modality.IMAGE)
    place = (line.row[tokens], line.column[tokens])
    assert sorted(zip(*(each.tolist() for each in place), strict=True)) == [
        (row, column) for row in range(rows) for column in range(columns)
    ]
    # What the processor hands the model for each token: four patches of that token's shade.
    values = prepared.inputs["pixel_values"].reshape(rows * columns, -1).mean(1).numpy()
    assert values.argsort().argsort().tolist() == shades[place].tolist()
    for text in ("yes", "no"):
        [answer] = force(
            adapter, [prepared], [np.array(adapter.encode(text), np.int32)], wanted(family)
        )
        assert_rows_are_eagers(family, prepared, answer)
        weights = rows_of(answer.signals["attmean"], prepared.prompt.n, len(answer.ids))[0]
        assert weights[tokens].std() > 0


# QwenLM/Qwen3-VL#1992: lists of frames whose number is odd, given as a video.


@pytest.mark.parametrize("family", ["qwen3_vl", "qwen2_5_vl", "qwen3_5"])
@pytest.mark.parametrize(("count", "ends"), [(3, [1.0, 1.5]), (5, [1.0, 2.0, 2.5])])
def test_uneven_lists_of_frames_are_videos(
    family: str, count: int, ends: list[float], tmp_path: Path, read: Callable[..., Sample]
) -> None:
    frames = write_frames(tmp_path, count, (128, 96))
    video = {"type": "video", "video": frames, "fps": 2}
    adapter, _ = watched(family)
    prepared = adapter.prepare(read(user([video, {"type": "text", "text": "What moves?"}])))
    assert groups(prepared) == [(float(group), end) for group, end in enumerate(ends)]
    assert prepared.inputs["video_grid_thw"][0, 0] == len(ends)
    answer = answer_one(adapter, prepared, OPTIONS, wanted(family))
    assert_plain_generation(family, prepared, answer)


def test_a_list_of_one_frame(tmp_path: Path, read: Callable[..., Sample]) -> None:
    """Qwen2.5-VL's processor takes it twice; Qwen3-VL's refuses it, and so is the sample."""
    [frame] = write_frames(tmp_path, 1, (128, 96))
    sample = read(user([{"type": "video", "video": [frame]}, {"type": "text", "text": "What?"}]))
    assert groups(plain("qwen2_5_vl").prepare(sample)) == [(0.0, 0.5)]
    for family in ("qwen3_vl", "qwen3_5"):
        with pytest.raises(OmniTraceError, match="refuses the sample: t:1 must be larger than"):
            plain(family).prepare(sample)


# vllm-project/vllm#48420: a video without a sound track, where the audio of videos was asked for.


@pytest.mark.parametrize("family", [BUNDLED, "qwen3_omni"])
def test_silent_videos_have_no_audio_tokens(family: str, read: Callable[..., Sample]) -> None:
    adapter, _ = watched(family)
    silent = {"type": "video", "video": str(media_folder() / "silent.mp4")}
    sounding = {"type": "video", "video": str(media_folder() / "film.mp4")}
    text = {"type": "text", "text": "What do you hear?"}
    for content, heard in (([silent, text], [False]), ([sounding, silent, text], [True, False])):
        prepared = adapter.prepare(read(user(content)))
        line = prepared.prompt.timeline
        audio = [
            (line.modality[line.medium == m] == Modality.AUDIO).sum() for m in range(len(heard))
        ]
        assert [bool(count) for count in audio] == [bool(count) for count in heard]
        assert all(groups(prepared, medium) for medium in range(len(heard)))
        answer = answer_one(adapter, prepared, OPTIONS, wanted(family))
        assert len(answer.ids)
        if not any(heard):
            assert_plain_generation(family, prepared, answer)
            assert_rows_are_eagers(family, prepared, answer)


# vllm-project/vllm-omni#5110: audio of more than 30 seconds in MiniCPM-o.


@pytest.mark.parametrize("seconds", [29.5, 30.5, 64.0])
def test_long_audio_keeps_its_seconds(
    seconds: float, tmp_path: Path, read: Callable[..., Sample]
) -> None:
    rate = 16_000
    sound = 0.1 * np.random.default_rng(0).normal(size=round(seconds * rate))
    soundfile.write(tmp_path / "long.wav", sound, rate)
    content = [{"type": "audio", "audio": "long.wav"}, {"type": "text", "text": "What is it?"}]
    adapter, _ = watched("minicpm_o")
    prepared = adapter.prepare(read(user(content)))
    line = prepared.prompt.timeline
    heard = line.modality == Modality.AUDIO
    assert heard.sum() == pytest.approx(10 * seconds, abs=1)
    np.testing.assert_allclose(line.start_s[heard], np.arange(heard.sum()) / 10, atol=1e-9)
    assert line.end_s[heard].max() == pytest.approx(seconds, abs=0.15)
    assert prepared.prompt.media[0].duration_s == seconds
    assert len(answer_one(adapter, prepared, OPTIONS, wanted("minicpm_o")).ids)


# QwenLM/Qwen3-VL#1463: with flash attention the answers of a batch of videos were wrong.


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_a_batch_of_videos_under_flash_attention(
    family: str, read: Callable[..., Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a double that attends as flash attention is told to; there is no GPU here."""
    monkeypatch.setattr(capture, "flash_is_there", lambda: True)
    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS, "flash_attention_2", flash_double)
    adapter = load(family)
    install(adapter.model, adapter.decoder, "flash_attention_2")
    confirm(adapter.model, adapter.layers)
    samples = [
        read(
            {"role": "system", "content": "You are a helpful assistant."},
            user([_video(fps), {"type": "text", "text": text}]),
        )
        for fps, text in ((1.0, "Describe what scatters, briefly."), (2.0, "Describe it."))
    ]
    prepared = [adapter.prepare(each) for each in samples]
    assert prepared[0].prompt.n != prepared[1].prompt.n
    together = generate(adapter, prepared, OPTIONS, wanted(family))
    for one, answer in zip(prepared, together, strict=True):
        assert_same(answer_one(adapter, one, OPTIONS, wanted(family)), answer)
        assert_plain_generation(family, one, answer)


def _video(fps: float) -> Row:
    return {"type": "video", "video": str(media_folder() / "silent.mp4"), "fps": fps}


# huggingface/transformers#46831: hybrids wrote garbage where their layers were offloaded.


def _offloaded(family: str, folder: Path) -> Any:
    """The adapter with two layers of the decoder on the disk; from_pretrained does the same where
    a device map does not fit the device."""
    adapter = load(family)
    names = {module: name for name, module in adapter.model.named_modules()}
    layers = [names[layer] for layer in adapter.model.get_decoder().layers[1:3]]
    every = [*adapter.model.named_parameters(), *adapter.model.named_buffers()]
    owners = {name.rpartition(".")[0] for name, _ in every}
    places = {name: "cpu" for name in owners if not name.startswith(tuple(layers))}
    places |= dict.fromkeys(layers, "disk")
    accelerate: Any = import_module("accelerate")
    accelerate.dispatch_model(adapter.model, places, main_device="cpu", offload_dir=folder)
    return adapter


@pytest.mark.parametrize("family", ["qwen3_5", "llama3"])
def test_layers_that_are_offloaded(
    family: str, tmp_path: Path, read: Callable[..., Sample]
) -> None:
    """Tokens, rows and gradients are those of the whole model."""
    adapter = _offloaded(family, tmp_path / "offloaded")
    kinds = {parameter.device.type for parameter in adapter.model.parameters()}
    assert kinds == {"cpu", "meta"}
    install(adapter.model, adapter.decoder)
    assert confirm(adapter.model, adapter.layers) == watched(family)[1]
    prepared = adapter.prepare(read(user("The parcel weighs seven kilos. What does it weigh?")))
    answer = answer_one(adapter, prepared, OPTIONS, wanted(family))
    assert_same(answer, answer_one(watched(family)[0], prepared, OPTIONS, wanted(family)))
    assert_plain_generation(family, prepared, answer)


# ndif-team/nnsight#711: four frames of 320 by 224 pixels as a video of Qwen3.5.


def test_four_frames_of_qwen3_5(tmp_path: Path, read: Callable[..., Sample]) -> None:
    frames = write_frames(tmp_path, 4, (320, 224))
    content = [{"type": "video", "video": frames}, {"type": "text", "text": "What happens?"}]
    adapter, confirmed = watched("qwen3_5")
    prepared = adapter.prepare(read(user(content)))
    [grid] = prepared.inputs["video_grid_thw"].tolist()
    line = prepared.prompt.timeline
    own = np.flatnonzero(line.modality == Modality.VIDEO)
    assert grid[0] == 2
    assert len(own) == grid[0] * grid[1] * grid[2] // 4
    assert (line.row[own].max() + 1, line.column[own].max() + 1) == (grid[1] // 2, grid[2] // 2)
    assert grid[2] > grid[1]
    assert groups(prepared) == [(0.0, 1.0), (1.0, 2.0)]
    answer = answer_one(adapter, prepared, OPTIONS, wanted("qwen3_5"))
    assert confirmed.layers == (1, 3)
    assert_plain_generation("qwen3_5", prepared, answer)
    assert_rows_are_eagers("qwen3_5", prepared, answer)


# pytorch/captum#1366: answers of one letter to a choice of several.


def test_answers_of_one_letter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An answer of one token is recorded, attributed and written."""
    question = "Which is a planet?\n(A) a lamp\n(B) Mars\nAnswer with a letter."
    row = {"id": "choice", "messages": [user(question)], "answer": "B"}
    (tmp_path / "samples.jsonl").write_text(json.dumps(row), "utf-8")
    (tmp_path / "responses.jsonl").write_text(json.dumps({"id": "choice", "text": "B"}), "utf-8")
    run = str(tmp_path / "run")
    command = [
        "record", str(tmp_path / "samples.jsonl"), run, "--model", str(checkpoint("llama3")),
        "--dtype", "float32", "--device", "cpu", "--responses", str(tmp_path / "responses.jsonl"),
    ]  # fmt: skip
    assert main(command) == 0
    trace = open_run(run)["choice"]
    assert (trace.response, len(trace.response_ids)) == ("B", 1)
    assert trace.scores("attmean").shape == (1, len(trace.prompt_ids) + 1)
    capsys.readouterr()
    assert main(["replay", run, "--json", "--units.request", "keep"]) == 0
    [found] = json.loads(capsys.readouterr().out)["samples"]
    [span] = found["spans"]
    assert (span["text"], span["start"], span["end"]) == ("B", 0, 1)
    assert [source["mass"] for source in span["sources"]] == [1.0]
    assert [unit["text"] for unit in found["units"]] == question.splitlines()


# QwenLM/Qwen3#1826: thinking of earlier turns and calls of tools in one chat.


@pytest.mark.parametrize("family", ["qwen3", "qwen3_5"])
def test_thinking_between_calls_of_tools(family: str, read: Callable[..., Sample]) -> None:
    """Thinking before the last question is absent; that of its calls stands where it was."""
    messages = [
        user("Is it warm in Rome?"),
        assistant("Yes.", reasoning_content="It is June."),
        user("And in Oslo?"),
        assistant(None, reasoning_content="I must look.", tool_calls=[CALL]),
        RESULT,
        assistant("", reasoning_content="Wet; once more.", tool_calls=[CALL]),
        {**RESULT, "content": "8 degrees, dry"},
    ]
    adapter: Any = watched(family)[0]
    prepared = adapter.prepare(read(*messages, tools=[TOOL]))
    row = {"messages": messages, "tools": [TOOL]}
    assert prepared.prompt.prompt_ids.tolist() == own_ids(adapter.tokenizer, row)
    assert prepared.absent == (1,)
    expected = ["Is it warm in Rome?", "", "Yes.", "And in Oslo?", "I must look.",
                RESULT["content"], "Wet; once more.", "", "8 degrees, dry"]  # fmt: skip
    assert list(map(bare, texts_of(adapter, prepared))) == list(map(bare, expected))
    roles = [part.role for part in prepared.prompt.parts]
    assert [roles[index] for index in (4, 5, 6, 8)] == ["assistant", "tool", "assistant", "tool"]
    answer = answer_one(adapter, prepared, OPTIONS, wanted(family))
    assert_plain_generation(family, prepared, answer)


# huggingface/trl#6361: thinking without an opening tag, as Qwen3.5's prompt begins it, in the text
# of an earlier answer.


@pytest.mark.parametrize("later", [True, False])
def test_thinking_whose_opening_tag_the_prompt_wrote(
    later: bool, read: Callable[..., Sample]
) -> None:
    """It is a part of its own: within the thinking of the last answer, absent from an earlier."""
    text = "Two and two are four.\n</think>\n\nFour."
    messages = [user("What is two and two?"), assistant(text)]
    more: Row = {} if later else {"continue_final_message": False}
    if later:
        messages += [user("And one more?")]
    adapter: Any = watched("qwen3_5")[0]
    prepared = adapter.prepare(read(*messages, **more))
    assert prepared.prompt.prompt_ids.tolist() == own_ids(
        adapter.tokenizer, {"messages": messages, **more}
    )
    texts = list(map(bare, texts_of(adapter, prepared)))
    assert texts[2] == "Four."
    if later:
        assert (prepared.absent, texts[1]) == ((1,), "")
        return
    assert (prepared.absent, texts[1]) == ((), "Twoandtwoarefour.")
    thinking = np.flatnonzero(prepared.prompt.timeline.part == 1)
    around = adapter.decode(prepared.prompt.prompt_ids[thinking[0] - 2 : thinking[-1] + 3].tolist())
    assert bare(around).startswith("<think>Two")
    assert bare(around).endswith("four.</think>")
