"""The toys of text and audio models load as published ones do, and their chats render as theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from jinja2.exceptions import TemplateError

from tests.recorder.toys import audio, text
from tests.recorder.toys.common import Toy, hf

TOYS: dict[str, Toy] = {**text.TOYS, **audio.TOYS}
BYTES = 1_200_000
RATE = 16_000
QUESTION = "  What does it show? \n"
SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": QUESTION}
ANSWER = {"role": "assistant", "content": "  A square. \n"}
TOOL = {
    "type": "function",
    "function": {
        "name": "weigh",
        "description": "Weighs a parcel.",
        "parameters": {"type": "object", "properties": {"parcel": {"type": "string"}}},
    },
}
CALL: dict[str, Any] = {
    "role": "assistant",
    "tool_calls": [
        {
            "type": "function",
            "id": "abcdefghi",
            "function": {"name": "weigh", "arguments": {"parcel": "the red one"}},
        }
    ],
}
RESULT = {"role": "tool", "tool_call_id": "abcdefghi", "name": "weigh", "content": "seven kilos"}


@dataclass(frozen=True)
class Family:
    """What is published: the model's class; who writes BOS; whether the user's text is trimmed.

    `written`: how often BOS stands in the ids of one user message after a system message (Granite's
    and SmolLM's BOS mark turns). `added`: whether the tokenizer writes BOS before any text.
    """

    model: str
    written: int
    added: bool
    trims: bool = False


FAMILIES = {
    "llama3": Family("LlamaForCausalLM", 1, True, trims=True),
    "mistral": Family("MistralForCausalLM", 1, True),
    "gemma2": Family("Gemma2ForCausalLM", 1, True, trims=True),
    "gemma3_text": Family("Gemma3ForCausalLM", 1, True, trims=True),
    "qwen3": Family("Qwen3ForCausalLM", 0, False),
    "deepseek_v3": Family("DeepseekV3ForCausalLM", 1, True),
    "gpt_oss": Family("GptOssForCausalLM", 0, False),
    "phi3": Family("Phi3ForCausalLM", 0, False),
    "phi4": Family("Phi3ForCausalLM", 0, False),
    "olmo2": Family("Olmo2ForCausalLM", 1, False),
    "granite": Family("GraniteForCausalLM", 2, False),
    "smollm": Family("LlamaForCausalLM", 3, False),
}
AUDIO_MODELS = {
    "qwen2_audio": "Qwen2AudioForConditionalGeneration",
    "audioflamingo3": "AudioFlamingo3ForConditionalGeneration",
    "granite_speech": "GraniteSpeechForConditionalGeneration",
    "voxtral": "VoxtralForConditionalGeneration",
}
AUDIO_TOKENS = {
    "qwen2_audio": (25, 50, 750),
    "audioflamingo3": (25, 50, 775),
    "granite_speech": (12, 21, 312),
    "voxtral": (375, 375, 750),
}
"""Of 1, 2 and 31 seconds: Qwen2-Audio cuts at 30, Voxtral fills 30."""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a family's toy, written once; skips where a module that it needs is missing."""
    folders: dict[str, Path] = {}

    def folder(family: str) -> Path:
        for module in TOYS[family].needs:
            pytest.importorskip(module)
        if family not in folders:
            folders[family] = tmp_path_factory.mktemp(family)
            TOYS[family].save(folders[family])
        return folders[family]

    return folder


@pytest.fixture(scope="module")
def model(saved: Callable[[str], Path]) -> Callable[[str], Any]:
    """A family's model, loaded once by its auto class."""
    models: dict[str, Any] = {}

    def load(family: str) -> Any:
        if family not in models:
            models[family] = getattr(hf, TOYS[family].auto).from_pretrained(saved(family))
        return models[family]

    return load


def tokens_of(folder: Path) -> Any:
    return hf.AutoTokenizer.from_pretrained(folder)


def rendered(tokens: Any, messages: list[dict[str, Any]], **more: Any) -> str:
    settings: dict[str, Any] = {"tokenize": False, "add_generation_prompt": True, **more}
    text = tokens.apply_chat_template(messages, **settings)
    assert isinstance(text, str)
    return text


def opening(family: str) -> list[dict[str, Any]]:
    """A system and a user message, where the family takes both."""
    return [USER] if family == "gemma2" else [SYSTEM, USER]


def generated(model: Any, inputs: Any, steps: int = 3) -> list[int]:
    sequences = model.generate(
        **inputs, max_new_tokens=steps, min_new_tokens=steps, do_sample=False
    )
    new: list[int] = sequences[0, inputs["input_ids"].shape[1] :].tolist()
    return new


@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_toy_loads_and_generates(
    family: str, saved: Callable[[str], Path], model: Callable[[str], Any]
) -> None:
    folder = saved(family)
    assert sum(file.stat().st_size for file in folder.iterdir()) < BYTES
    loaded = model(family)
    assert type(loaded).__name__ == FAMILIES[family].model
    assert all(len(weight.unique()) > 1 for weight in loaded.parameters() if weight.numel() > 1)
    inputs = tokens_of(folder).apply_chat_template(
        opening(family), add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    assert len(generated(loaded, inputs)) == 3


@pytest.mark.parametrize("family", FAMILIES)
def test_bos_is_written_as_published(family: str, saved: Callable[[str], Path]) -> None:
    about, tokens = FAMILIES[family], tokens_of(saved(family))
    prompt = rendered(tokens, opening(family))
    ids = tokens.apply_chat_template(opening(family), add_generation_prompt=True, return_dict=False)
    assert ids == tokens(prompt, add_special_tokens=False)["input_ids"]
    assert ids.count(tokens.bos_token_id) == about.written
    assert (tokens(prompt)["input_ids"] == [tokens.bos_token_id, *ids]) == about.added
    assert (tokens(prompt)["input_ids"] == ids) == (not about.added)


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_are_trimmed_as_published(family: str, saved: Callable[[str], Path]) -> None:
    prompt = rendered(tokens_of(saved(family)), [USER])
    assert QUESTION.strip() in prompt
    assert (QUESTION in prompt) == (not FAMILIES[family].trims)


@pytest.mark.parametrize("family", FAMILIES)
def test_ids_decode_to_the_prompt(family: str, saved: Callable[[str], Path]) -> None:
    tokens = tokens_of(saved(family))
    prompt = rendered(tokens, [{"role": "user", "content": "Ça va? 日本\t{x}"}])
    back = tokens.decode(tokens(prompt, add_special_tokens=False)["input_ids"])
    if (
        family == "phi3"
    ):  # Its marks take the white space after them, and a blank comes before text.
        prompt, back = (text.replace("\n", "").replace("|> ", "|>") for text in (prompt, back))
    assert back == prompt


@pytest.mark.parametrize(
    ("family", "messages"),
    [
        ("mistral", [USER, USER]),
        ("mistral", [ANSWER, USER]),
        ("gemma2", [SYSTEM, USER]),
        ("gemma2", [USER, USER]),
        ("gemma3_text", [SYSTEM, USER, USER]),
        ("gpt_oss", [USER, {"role": "assistant", "content": "<|channel|>final"}, USER]),
        ("gpt_oss", [USER, RESULT]),
        ("llama3", [USER, {**CALL, "tool_calls": CALL["tool_calls"] * 2}]),
    ],
)
def test_chats_are_refused_as_published(
    family: str, messages: list[dict[str, Any]], saved: Callable[[str], Path]
) -> None:
    with pytest.raises(TemplateError, match=r"alternate|No system role|as thinking|tool call"):
        rendered(tokens_of(saved(family)), messages)


def test_a_system_message_is_folded_into_a_user_message(saved: Callable[[str], Path]) -> None:
    gemma = rendered(tokens_of(saved("gemma3_text")), [SYSTEM, USER, ANSWER, USER])
    assert gemma.startswith(
        "<bos><start_of_turn>user\nBe brief.\n\nWhat does it show?<end_of_turn>"
    )
    assert "<start_of_turn>model\nA square.<end_of_turn>" in gemma
    mistral = rendered(tokens_of(saved("mistral")), [SYSTEM, USER, ANSWER, USER])
    first, last = mistral.split(" A square.</s>")
    assert "Be brief." not in first
    assert last == f"[INST] Be brief.\n\n{QUESTION}[/INST]"


@pytest.mark.parametrize(
    ("family", "words"),
    [("smollm", "default message"), ("granite", "Today's Date: "), ("llama3", "Today Date: ")],
)
def test_a_system_message_is_there_by_default(
    family: str, words: str, saved: Callable[[str], Path]
) -> None:
    tokens = tokens_of(saved(family))
    assert words in rendered(tokens, [USER])
    assert (words in rendered(tokens, [SYSTEM, USER])) == (family == "llama3")


@pytest.mark.parametrize("family", ["qwen3", "deepseek_v3"])
def test_earlier_thinking_is_dropped(family: str, saved: Callable[[str], Path]) -> None:
    tokens = tokens_of(saved(family))
    thought = {"role": "assistant", "content": "<think>\nhidden\n</think>\n\nA square."}
    prompt = rendered(tokens, [USER, thought, USER])
    assert "hidden" not in prompt
    assert "A square." in prompt
    last = rendered(tokens, [USER, thought], add_generation_prompt=False)
    assert ("hidden" in last) == (family == "qwen3")


def test_thinking_of_its_own_field(saved: Callable[[str], Path]) -> None:
    qwen, harmony = tokens_of(saved("qwen3")), tokens_of(saved("gpt_oss"))
    given = {"role": "assistant", "content": "A square.", "reasoning_content": "hidden"}
    last = rendered(qwen, [USER, given], add_generation_prompt=False)
    assert last.endswith("<think>\nhidden\n</think>\n\nA square.<|im_end|>\n")
    assert "hidden" not in rendered(qwen, [USER, given, USER])
    given = {"role": "assistant", "content": "A square.", "thinking": "hidden"}
    last = rendered(harmony, [USER, given], add_generation_prompt=False)
    assert last.endswith(
        "hidden<|end|><|start|>assistant<|channel|>final<|message|>A square.<|return|>"
    )
    assert "hidden" not in rendered(harmony, [USER, given, USER])


def test_arguments_of_templates(saved: Callable[[str], Path]) -> None:
    qwen, harmony = tokens_of(saved("qwen3")), tokens_of(saved("gpt_oss"))
    assert rendered(qwen, [USER]).endswith("<|im_start|>assistant\n")
    assert rendered(qwen, [USER], enable_thinking=False).endswith("<think>\n\n</think>\n\n")
    assert "Reasoning: medium" in rendered(harmony, [USER])
    assert "Reasoning: high" in rendered(harmony, [USER], reasoning_effort="high")
    llama = tokens_of(saved("llama3"))
    assert "Today Date: 1 May 2025\n" in rendered(llama, [USER], date_string="1 May 2025")


@pytest.mark.parametrize("family", ["llama3", "mistral", "qwen3", "gpt_oss", "granite"])
def test_tools_are_written(family: str, saved: Callable[[str], Path]) -> None:
    tokens = tokens_of(saved(family))
    before = rendered(tokens, [USER], tools=[TOOL])
    assert "weigh" in before
    prompt = rendered(tokens, [USER, CALL, RESULT], tools=[TOOL])
    assert prompt.count("weigh") > before.count("weigh")
    assert "the red one" in prompt
    assert "seven kilos" in prompt


def test_deepseek_writes_calls_and_results(saved: Callable[[str], Path]) -> None:
    prompt = rendered(tokens_of(saved("deepseek_v3")), [USER, CALL, RESULT])
    assert "<｜tool▁sep｜>weigh\n```json\n" in prompt
    assert prompt.endswith(
        "<｜tool▁output▁begin｜>seven kilos<｜tool▁output▁end｜><｜tool▁outputs▁end｜>"
    )


def test_qwen_wraps_results_in_one_user_turn(saved: Callable[[str], Path]) -> None:
    prompt = rendered(tokens_of(saved("qwen3")), [USER, CALL, RESULT, RESULT])
    response = "\n<tool_response>\nseven kilos\n</tool_response>"
    assert f"<|im_start|>user{response}{response}<|im_end|>\n" in prompt


def wave(seconds: float) -> Any:
    """A tone that rises, float32 at 16 kHz."""
    time = np.arange(int(RATE * seconds)) / RATE
    return (0.3 * np.sin(2 * np.pi * (200 + 40 * time) * time)).astype(np.float32)


def processed(family: str, folder: Path, seconds: float) -> Any:
    """The inputs of one user message with a text, an audio and a text."""
    processor = hf.AutoProcessor.from_pretrained(folder)
    samples = wave(seconds)
    parts = [{"type": "text", "text": "Hear: "}, {}, {"type": "text", "text": "?"}]
    if family == "granite_speech":  # Its template takes strings.
        messages = [{"role": "user", "content": "Hear: <|audio|>?"}]
        prompt = rendered(processor.tokenizer, messages)
        return processor(text=prompt, audio=[samples], return_tensors="pt")
    if family == "voxtral":  # Its tokenizer reads files.
        path = folder / "audio.wav"
        soundfile.write(path, samples, RATE)
        parts[1] = {"type": "audio", "path": str(path)}
        return processor.apply_chat_template([{"role": "user", "content": parts}])
    parts[1] = {"type": "audio", "audio": samples}
    return processor.apply_chat_template(
        [{"role": "user", "content": parts}],
        tokenize=True,
        add_generation_prompt=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={"sampling_rate": RATE},
    )


@pytest.mark.parametrize("family", AUDIO_MODELS)
def test_an_audio_toy_loads_and_generates(
    family: str, saved: Callable[[str], Path], model: Callable[[str], Any]
) -> None:
    folder = saved(family)
    assert sum(file.stat().st_size for file in folder.iterdir()) < BYTES
    loaded = model(family)
    assert type(loaded).__name__ == AUDIO_MODELS[family]
    inputs = processed(family, folder, 1.5)
    assert len(generated(loaded, inputs)) == 3
    silent = {**inputs, "input_features": torch.zeros_like(inputs["input_features"])}
    with torch.no_grad():
        difference = loaded(**inputs).logits[0, -1] - loaded(**silent).logits[0, -1]
    assert float(difference.abs().max()) > 0.1


@pytest.mark.parametrize("family", AUDIO_MODELS)
def test_seconds_become_tokens_as_published(
    family: str, saved: Callable[[str], Path], model: Callable[[str], Any]
) -> None:
    placeholder = model(family).config.audio_token_id
    counts = []
    for seconds in (1.0, 2.0, 31.0):
        ids = processed(family, saved(family), seconds)["input_ids"][0].tolist()
        first, count = ids.index(placeholder), ids.count(placeholder)
        assert ids[first : first + count] == [placeholder] * count
        counts.append(count)
    assert tuple(counts) == AUDIO_TOKENS[family]


@pytest.mark.parametrize("family", sorted(set(AUDIO_MODELS) - {"voxtral"}))
def test_processors_report_where_the_audio_is(family: str, saved: Callable[[str], Path]) -> None:
    processor = hf.AutoProcessor.from_pretrained(saved(family))
    mark = processor.audio_token
    inputs = processor(
        text=[f"Hear: {mark}?"],
        audio=[wave(1.0)],
        sampling_rate=RATE,
        return_text_replacement_offsets=True,
    )
    (report,) = inputs["text_replacement_offsets"][0]
    count = AUDIO_TOKENS[family][0]
    assert report["type"] == "audio"
    assert report["span"] == (6, 6 + len(mark))
    assert report["replacement"] == mark * count
    assert report["new_span"] == (6, 6 + count * len(mark))
    expanded = f"Hear: {report['replacement']}?"
    ids = torch.as_tensor(inputs["input_ids"])[0].tolist()
    assert processor.tokenizer(expanded)["input_ids"] == ids


def test_audioflamingo_writes_one_placeholder_a_message(saved: Callable[[str], Path]) -> None:
    processor = hf.AutoProcessor.from_pretrained(saved("audioflamingo3"))
    part = {"type": "audio", "audio": wave(1.0)}
    content = [{"type": "text", "text": "Hear: "}, part, {"type": "text", "text": "and"}, part]
    prompt = rendered(processor, [{"role": "user", "content": content}])
    assert "<|im_start|>user\n<sound>Hear: and<|im_end|>" in prompt


def test_qwen2_audio_counts_its_audios(saved: Callable[[str], Path]) -> None:
    processor = hf.AutoProcessor.from_pretrained(saved("qwen2_audio"))
    part = {"type": "audio", "audio": wave(1.0)}
    prompt = rendered(processor, [{"role": "user", "content": [part, part]}])
    mark = "<|audio_bos|><|AUDIO|><|audio_eos|>"
    assert f"Audio 1: {mark}\nAudio 2: {mark}\n" in prompt
    assert prompt.startswith("<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n")
