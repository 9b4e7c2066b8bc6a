"""Voxtral and language models with a tekken.json: prompts, places of tokens, what is refused."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from omnitrace import open_run
from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.timeline import Modality
from recorder.config import RecordConfig
from recorder.inputs.samples import Content, Message, Sample
from recorder.models import chat, voxtral
from recorder.models.adapter import describe_model, load_adapter
from recorder.models.settings import Settings, Weights
from recorder.models.voxtral import MistralChat
from recorder.passes.capture import confirm, install
from recorder.passes.generate import GenerationOptions, generate
from recorder.record import record
from tests.recorder.answers import ATTENTION, answer_one
from tests.recorder.conftest import user, write_rows
from tests.recorder.passes.test_batch import assert_same
from tests.recorder.toys import TOYS, audio
from tests.recorder.toys.common import ROPE, draw, hf

pytest.importorskip("mistral_common", reason="it is in the extra [families]")

RATE, TOKEN, WINDOW = 16_000, 0.08, 375
BEGIN, AUDIO = (audio.MARKS.index(mark) for mark in ("[BEGIN_AUDIO]", "[AUDIO]"))
WEIGHTS = Weights("float32", "cpu")
TOOL = {
    "type": "function",
    "function": {
        "name": "weigh",
        "description": "Weigh a parcel.",
        "parameters": {"type": "object", "properties": {"number": {"type": "integer"}}},
    },
}
CALL = {
    "id": "abcdefghi",
    "type": "function",
    "function": {"name": "weigh", "arguments": '{"number": 3}'},
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("voxtral")
    TOYS["voxtral"](path)
    return path


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> MistralChat:
    """The toy, ready to record."""
    adapter = load_adapter(describe_model(str(checkpoint)), WEIGHTS)
    assert isinstance(adapter, MistralChat)
    install(adapter.model, adapter.decoder)
    confirm(adapter.model, adapter.layers)
    return adapter


@pytest.fixture(scope="module")
def waves(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Noise at 16,000 Hz in 32-bit floats: `short` 2.31 s, `long` 31 s."""
    folder, rng = tmp_path_factory.mktemp("waves"), np.random.default_rng(0)
    found = {}
    for name, seconds in (("short", 2.31), ("long", 31)):
        found[name] = folder / f"{name}.wav"
        samples = rng.uniform(-1, 1, round(seconds * RATE)).astype(np.float32)
        soundfile.write(found[name], samples, RATE, subtype="FLOAT")
    return found


@pytest.fixture(scope="module")
def text_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model whose tokenizer is a tekken.json of an earlier version, and nothing else."""
    path = tmp_path_factory.mktemp("mistral")
    write_language_model(path)
    return path


def write_language_model(path: Path) -> None:
    torch.manual_seed(0)
    tekken = audio.tekken_file()
    del tekken["audio"]
    tekken["config"]["version"] = "v3"
    config = hf.MistralConfig(
        vocab_size=tekken["config"]["default_vocab_size"],
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        initializer_range=0.2,
        rope_parameters=ROPE,
        eos_token_id=2,
    )
    draw(hf.MistralForCausalLM(config)).save_pretrained(path)
    (path / "tekken.json").write_text(json.dumps(tekken))


def message(role: str, *parts: str | Path, **more: Any) -> Message:
    """A path is an audio, anything else a text."""
    contents = [
        Content("audio", path=part) if isinstance(part, Path) else Content("text", text=part)
        for part in parts
    ]
    return Message(role, tuple(contents), **more)


def sample(*messages: Message, **more: Any) -> Sample:
    return Sample("sample", messages, None, "", **more)


def test_the_prompt_and_the_features_are_the_processors(
    model: MistralChat, waves: dict[str, Path]
) -> None:
    texts = ("Of [INST] this </s>", " and", "日本 é🙂?")
    asked = message("user", texts[0], waves["short"], texts[1], waves["long"], texts[2])
    found = model.prepare(sample(asked))
    given = [{"type": "text", "text": text} for text in texts]
    given[1:1], given[3:3] = (
        [{"type": "audio", "path": str(waves[name])}] for name in ("short", "long")
    )
    expected = model.processor.apply_chat_template([{"role": "user", "content": given}])
    assert found.prompt.prompt_ids.tolist() == expected["input_ids"][0].tolist()
    assert (found.prompt.prompt_ids == model.tokenizer.bos_token_id).sum() == 1
    # Of paths, transformers takes the samples rounded to 16 bits; these are the file's.
    features = []
    for name, windows in (("short", 1), ("long", 2)):
        samples, _ = soundfile.read(waves[name], dtype="float32")
        samples = np.pad(samples, (0, windows * 30 * RATE - len(samples)))
        extracted = model.processor.feature_extractor(
            samples, sampling_rate=RATE, truncation=False, return_tensors="pt"
        )["input_features"][0]
        features += list(extracted.split(3000, dim=1))
    assert torch.equal(found.inputs["input_features"], torch.stack(features))


def test_every_token_of_texts_and_audios_is_placed(
    model: MistralChat, waves: dict[str, Path]
) -> None:
    texts = ("Of [INST] this </s>", "日本 é🙂", "?")
    asked = message("user", texts[0], waves["short"], waves["long"], *texts[1:])
    found = model.prepare(sample(asked))
    line = found.prompt.timeline
    for part, text in zip((0, 3, 4), texts, strict=True):
        tokens = line.part == part
        assert model.decode(found.prompt.prompt_ids[tokens].tolist()) == text
        assert set(line.modality[tokens]) == {Modality.TEXT}
    assert found.prompt.prompt_text == "".join(texts)
    for medium, (seconds, windows) in enumerate(((2.31, 1), (31, 2))):
        tokens = np.flatnonzero(line.medium == medium)
        assert tokens[-1] - tokens[0] == len(tokens) - 1 == windows * WINDOW
        assert set(line.part[tokens]) == {medium + 1}
        assert found.prompt.prompt_ids[tokens].tolist() == [BEGIN] + [AUDIO] * windows * WINDOW
        assert line.modality[tokens[0]] == Modality.SPECIAL
        heard = tokens[line.modality[tokens] == Modality.AUDIO]
        assert heard.tolist() == tokens[1 : 1 + len(heard)].tolist()
        starts = np.arange(len(heard)) * TOKEN
        np.testing.assert_allclose(line.start_s[heard], starts, atol=1e-9)
        np.testing.assert_allclose(line.end_s[heard], np.minimum(starts + TOKEN, seconds))
        assert starts[-1] < seconds <= starts[-1] + TOKEN
    others = (line.medium < 0) & (line.part < 0)
    assert model.decode(found.prompt.prompt_ids[others].tolist()) == "<s>[INST]\n\n[/INST]"
    assert set(line.modality[others]) == {Modality.SPECIAL}


def test_audios_of_one_and_two_windows_in_a_batch_leave_the_traces_that_they_leave_alone(
    model: MistralChat, waves: dict[str, Path]
) -> None:
    one, two = (
        model.prepare(sample(message("user", waves[name], "What?"))) for name in ("short", "long")
    )
    options = GenerationOptions(max_new_tokens=2)
    together = generate(model, [one, two], options, ATTENTION)
    for prepared, answer in zip((one, two), together, strict=True):
        assert_same(answer_one(model, prepared, options), answer)


def test_tools_and_an_answer_to_be_continued(model: MistralChat, waves: dict[str, Path]) -> None:
    messages = (
        message("user", "Weigh it:", waves["short"]),
        message("assistant", fields={"tool_calls": [CALL]}),
        message("tool", '{"kilos": 7}', fields={"tool_call_id": "abcdefghi"}),
        message("assistant", "It weighs"),
    )
    found = model.prepare(sample(*messages, tools=(TOOL,), continues=True))
    read = model.decode(found.prompt.prompt_ids[found.prompt.prompt_ids != AUDIO].tolist())
    assert read == (
        f"<s>[AVAILABLE_TOOLS]{json.dumps([TOOL])}[/AVAILABLE_TOOLS]"
        "[INST]Weigh it:[BEGIN_AUDIO][/INST]"
        '[TOOL_CALLS][{"name": "weigh", "arguments": {"number": 3}, "id": "abcdefghi"}]</s>'
        '[TOOL_RESULTS]abcdefghi[TOOL_CONTENT]{"kilos": 7}[/TOOL_RESULTS]It weighs'
    )
    assert found.prompt.prompt_text == 'Weigh it:{"kilos": 7}It weighs'
    line = found.prompt.timeline
    read_by_part = [
        model.decode(found.prompt.prompt_ids[line.part == part].tolist()) for part in (0, 2, 3)
    ]
    assert read_by_part == ["Weigh it:", '{"kilos": 7}', "It weighs"]


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ([Message("user", (Content("image", path=Path("a.png")),))], "it takes text and audio"),
        (
            [
                message("user", "Hi"),
                message("assistant", "Yo", thinking="Hm."),
                message("user", "And?"),
            ],
            r"refuses the messages: Unexpected content chunk types in assistant message",
        ),
        (
            [message("system", "Be brief."), message("user", Path("a.wav"))],
            "audio chunks in messages at indexes .*; This is not allowed prior to the tokenizer v",
        ),
        ([message("assistant", "Hi")], "refuses the messages: The last message .* is already an"),
    ],
)
def test_samples_that_the_tokenizer_does_not_take(
    messages: list[Message],
    why: str,
    model: MistralChat,
    waves: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waves["short"].with_name("a.wav").write_bytes(waves["short"].read_bytes())
    monkeypatch.chdir(waves["short"].parent)
    with pytest.raises(OmniTraceError, match=why):
        model.prepare(sample(*messages))


def test_a_prompt_without_the_mark_that_begins_an_audio(
    model: MistralChat, waves: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voxtral, "BEGIN_AUDIO", "[TRANSCRIBE]")
    with pytest.raises(OmniTraceError, match="writes 0 audios into the prompt, and the sample has"):
        model.prepare(sample(message("user", waves["short"])))


def test_template_arguments_reach_the_tokenizer(checkpoint: Path) -> None:
    settings = Settings(template_args={"reasoning_effort": "high"})
    adapter = load_adapter(describe_model(str(checkpoint)), WEIGHTS, settings)
    with pytest.raises(OmniTraceError, match=r"messages: reasoning_effort.* not supported"):
        adapter.prepare(sample(message("user", "Hi")))


def test_a_chat_template_for_a_tokenizer_that_has_none(
    checkpoint: Path, text_checkpoint: Path
) -> None:
    for path in (checkpoint, text_checkpoint):
        with pytest.raises(CommandError, match="uses no chat template: leave out --chat-template"):
            voxtral.load(describe_model(str(path)), WEIGHTS, Settings(chat_template="{{ a }}"))


def test_without_mistral_common(
    checkpoint: Path, text_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        voxtral, "find_spec", lambda name: None if name == "mistral_common" else find_spec(name)
    )
    for path in (checkpoint, text_checkpoint):
        with pytest.raises(CommandError, match=r"pip install 'omnitrace-replay\[families\]'"):
            voxtral.load(describe_model(str(path)), WEIGHTS, Settings())


def test_a_language_model_with_a_tekken_file_alone(text_checkpoint: Path) -> None:
    adapter: Any = load_adapter(describe_model(str(text_checkpoint)), WEIGHTS)
    messages = [
        ("system", "Be [INST] brief."),
        ("user", "Hi"),
        ("user", "you"),
        ("assistant", "Yo"),
        ("user", "日本 é🙂 <s>\ufffd"),
    ]
    found = adapter.prepare(sample(*(message(role, text) for role, text in messages)))
    tokenizer = hf.AutoTokenizer.from_pretrained(text_checkpoint)
    given = [{"role": role, "content": text} for role, text in messages]
    assert found.prompt.prompt_ids.tolist() == tokenizer.apply_chat_template(given)["input_ids"]
    assert adapter.decode(found.prompt.prompt_ids.tolist()) == (
        "<s>[INST]Hi\n\nyou[/INST]Yo</s>[INST]Be [INST] brief.\n\n日本 é🙂 <s>\ufffd[/INST]"
    )
    line = found.prompt.timeline
    for part, (_, text) in enumerate(messages):
        assert adapter.decode(found.prompt.prompt_ids[line.part == part].tolist()) == text
    install(adapter.model, adapter.decoder)
    confirm(adapter.model, adapter.layers)
    answer = answer_one(adapter, found, GenerationOptions(max_new_tokens=4))
    plain = hf.AutoModelForCausalLM.from_pretrained(text_checkpoint)
    tokens = plain.generate(**found.inputs, max_new_tokens=4, do_sample=False)
    expected = tokens[0, found.prompt.n :].tolist()
    assert answer.ids.tolist() == expected[: len(answer.ids)]
    assert answer.finish == "length"


def test_a_language_model_with_a_chat_template_is_recorded_with_it(tmp_path: Path) -> None:
    TOYS["mistral"](tmp_path)
    asked, found = sample(message("user", "Hi <s> you")), []
    for written in (False, True):
        if written:
            (tmp_path / "tekken.json").write_text(json.dumps(audio.tekken_file()))
        adapter = load_adapter(describe_model(str(tmp_path)), WEIGHTS)
        assert type(adapter) is chat.ChatModel
        found.append(adapter.prepare(sample(message("user", "Hi you"))).prompt.prompt_ids.tolist())
        with pytest.raises(OmniTraceError, match="a control token of the model"):
            adapter.prepare(asked)
    assert found[0] == found[1]


def test_a_recording(checkpoint: Path, waves: dict[str, Path], tmp_path: Path) -> None:
    rows = [{"id": "a", "messages": [user(f"audio:{waves['short']}", "What is it about?")]}]
    config = RecordConfig(model=str(checkpoint), max_new_tokens=3, device="cpu")
    assert record(write_rows(tmp_path, rows), tmp_path / "run", config).recorded == 1
    trace = open_run(tmp_path / "run")["a"]
    assert trace.scores("attmean").sum(1) == pytest.approx(1, abs=1e-5)
