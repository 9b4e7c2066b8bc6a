"""Chats as people have them, read from JSON lines: the prompts are transformers' own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from omnitrace.errors import OmniTraceError
from omnitrace.timeline import Modality
from recorder.inputs.samples import Sample, read_samples
from recorder.models.adapter import Prepared
from recorder.models.day import fixed_day
from recorder.models.settings import Settings
from tests.recorder.families.models import SETTINGS, load, media_folder, plain
from tests.recorder.toys import TOYS

Row = dict[str, Any]

FAMILIES = [
    "llama3", "mistral", "gemma2", "gemma3_text", "qwen3", "deepseek_v3", "gpt_oss", "phi3", "phi4",
    "olmo2", "granite", "smollm", "qwen3_5",
]  # fmt: skip
"""All families of text, and one of images."""


@pytest.fixture
def read(tmp_path: Path) -> Callable[[Row], Sample]:
    """A sample as `record` reads it from a line of a file."""

    def sample(row: Row) -> Sample:
        path = tmp_path / "samples.jsonl"
        path.write_text(json.dumps({"id": "a", **row}) + "\n", "utf-8")
        [found] = read_samples(path)
        return found

    return sample


def own_ids(tokenizer: Any, row: Row, **args: Any) -> list[int]:
    """transformers' prompt of the messages as the row has them."""
    continues = row["messages"][-1]["role"] == "assistant" and row.get(
        "continue_final_message", True
    )
    with fixed_day(tokenizer, SETTINGS.date):
        encoded = tokenizer.apply_chat_template(
            row["messages"],
            tools=row.get("tools"),
            tokenize=True,
            return_dict=True,
            add_generation_prompt=not continues,
            continue_final_message=continues,
            **args,
        )
    return list(encoded["input_ids"])


def texts_of(adapter: Any, prepared: Prepared) -> list[str]:
    """What the tokens of each part read."""
    line, ids = prepared.prompt.timeline, prepared.prompt.prompt_ids
    return [
        adapter.decode(ids[line.part == index].tolist())
        for index in range(len(prepared.prompt.parts))
    ]


def bare(text: str) -> str:
    """Without blanks."""
    return "".join(text.split())


def user(content: Any) -> Row:
    return {"role": "user", "content": content}


def assistant(content: Any, **more: Any) -> Row:
    return {"role": "assistant", "content": content, **more}


TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CALL = {"id": "abcdefghi", "type": "function",
        "function": {"name": "weather", "arguments": {"city": "Oslo"}}}  # fmt: skip
RESULT = {
    "role": "tool",
    "tool_call_id": "abcdefghi",
    "name": "weather",
    "content": "7 degrees, wet",
}


@dataclass(frozen=True)
class Chat:
    """A chat, the text of each part, the parts that no template here writes but those of families
    in `thinking`, and what each family that refuses it says."""

    row: Row
    texts: list[str]
    absent: tuple[int, ...] = ()
    thinking: frozenset[str] = frozenset()
    refused: tuple[tuple[str, str], ...] = ()


def refusals(**sentences: str) -> tuple[tuple[str, str], ...]:
    """Sentence by families, their names joined by two underscores."""
    return tuple((each, text) for names, text in sentences.items() for each in names.split("__"))


ALTERNATE = "alternate"
DROPS = "changes or drops a text of the role developer: 'Be brief.'; put it into a message of"
NO_CONTENT = "'dict object' has no attribute 'content'"
CHATS = {
    "user": Chat({"messages": [user("What is it?")]}, ["What is it?"]),
    "system": Chat(
        {"messages": [{"role": "system", "content": "Be brief."}, user("What is it?")]},
        ["Be brief.", "What is it?"],
        refused=refusals(gemma2="No system role"),
    ),
    "developer": Chat(
        {"messages": [{"role": "developer", "content": "Be brief."}, user("What is it?")]},
        ["Be brief.", "What is it?"],
        refused=refusals(
            mistral__gemma2__gemma3_text=ALTERNATE, qwen3__deepseek_v3__phi3__phi4=DROPS
        ),
    ),
    "turns": Chat(
        {"messages": [user("What is it?"), assistant("A lamp."), user("Whose?")]},
        ["What is it?", "A lamp.", "Whose?"],
    ),
    "equal turns": Chat(
        {"messages": [user("Go on"), assistant("Go on"), user("Go on")]}, ["Go on"] * 3
    ),
    "roles in texts": Chat(
        {"messages": [user("assistant"), assistant("user\n"), user("model [INST]")]},
        ["assistant", "user\n", "model [INST]"],
        refused=refusals(mistral="contains '[INST]', a control token"),
    ),
    "blanks": Chat(
        {"messages": [user(" \nWhat is it?  "), assistant(" A lamp. "), user("Whose?\n")]},
        ["What is it?", "A lamp.", "Whose?"],
    ),
    "a text of blanks": Chat(
        {"messages": [user("Hi"), assistant("Yes?"), user("  ")]}, ["Hi", "Yes?", ""]
    ),
    "an empty text": Chat(
        {"messages": [user("Hi"), assistant(""), user("So?")]}, ["Hi", "", "So?"]
    ),
    "tools": Chat(
        {
            "tools": [TOOL],
            "messages": [user("Rain in Oslo?"), assistant(None, tool_calls=[CALL]), RESULT],
        },
        ["Rain in Oslo?", "7 degrees, wet"],
        refused=refusals(gemma2__gemma3_text=ALTERNATE, phi3__phi4__olmo2__smollm=NO_CONTENT),
    ),
    "earlier thinking": Chat(
        {
            "messages": [
                user("One and one?"),
                assistant("Two.", reasoning_content="I add them."),
                user("And one?"),
            ]
        },
        ["One and one?", "I add them.", "Two.", "And one?"],
        absent=(1,),
    ),
    "last thinking": Chat(
        {
            "messages": [user("One and one?"), assistant("Two.", reasoning_content="I add them.")],
            "continue_final_message": False,
        },
        ["One and one?", "I add them.", "Two."],
        absent=(1,),
        thinking=frozenset({"qwen3", "qwen3_5"}),
    ),
    "a call after thinking": Chat(
        {
            "tools": [TOOL],
            "messages": [
                user("Rain in Oslo?"),
                assistant(None, thinking="I must look.", tool_calls=[CALL]),
                RESULT,
            ],
        },
        ["Rain in Oslo?", "I must look.", "7 degrees, wet"],
        absent=(1,),
        thinking=frozenset({"qwen3", "gpt_oss", "qwen3_5"}),
        refused=refusals(gemma2__gemma3_text=ALTERNATE, phi3__phi4__olmo2__smollm=NO_CONTENT),
    ),
    "continued": Chat(
        {"messages": [user("Name a planet."), assistant("The planet ")]},
        ["Name a planet.", "The planet "],
    ),
    "finished": Chat(
        {
            "messages": [user("Name a planet."), assistant("Mars.")],
            "continue_final_message": False,
        },
        ["Name a planet.", "Mars."],
    ),
    "other scripts": Chat(
        {"messages": [user("שלום 你好 🙂 e\u0301"), assistant("\u00a0ﬁ\r\n"), user("a\u2028b")]},
        ["שלום 你好 🙂 e\u0301", "ﬁ", "a\u2028b"],
    ),
    "private use": Chat(
        {"messages": [user("\U000f0000 and \U000f0001"), assistant("\ue000"), user("\U000ffffd")]},
        ["\U000f0000 and \U000f0001", "\ue000", "\U000ffffd"],
    ),
    "jinja": Chat({"messages": [user("{{ messages }} {% raw %} {# #}")]},
                  ["{{ messages }} {% raw %} {# #}"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CHATS)
@pytest.mark.parametrize("family", FAMILIES)
def test_chats(family: str, name: str, read: Callable[[Row], Sample]) -> None:
    adapter: Any = plain(family)
    chat = CHATS[name]
    sample = read(chat.row)
    refused = dict(chat.refused)
    if family in refused:
        with pytest.raises(OmniTraceError, match=re.escape(refused[family])) as caught:
            adapter.prepare(sample)
        assert "\n" not in str(caught.value)
        return
    prepared = adapter.prepare(sample)
    assert prepared.prompt.prompt_ids.tolist() == own_ids(adapter.tokenizer, chat.row)
    absent = () if family in chat.thinking else chat.absent
    assert prepared.absent == absent
    expected = ["" if index in absent else text for index, text in enumerate(chat.texts)]
    read_back = texts_of(adapter, prepared)
    nfc = family in {"qwen3", "qwen3_5"}
    for text, own in zip(expected, read_back, strict=True):
        assert bare(own) == bare(adapter.tokenizer.backend_tokenizer.normalizer.normalize_str(text)
                                 if nfc else text)  # fmt: skip
    assert bare(prepared.prompt.prompt_text) == bare("".join(read_back))
    line = prepared.prompt.timeline
    assert ((line.modality == Modality.TEXT) == (line.part >= 0)).all()


TAGS = {
    "<think>\nI add them.\n</think>\n\nTwo.": ["\nI add them.\n", "\n\nTwo."],
    "I add them.</think>Two.": ["I add them.", "Two."],
    "</think>Two.": ["Two."],
    "<think>\n\n</think>\n\nTwo.": ["\n\nTwo."],
    "Two.": ["Two."],
}
"""An assistant's text with tags, and its parts."""


@pytest.mark.parametrize("text", TAGS)
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("family", ["qwen3", "deepseek_v3", "qwen3_5", "olmo2"])
def test_thinking_between_tags(
    family: str, last: bool, text: str, read: Callable[[Row], Sample]
) -> None:
    """Templates that know the tags write the thinking of the last answer, or of none (DeepSeek)."""
    adapter: Any = plain(family)
    messages = [user("One and one?"), assistant(text)]
    if last:
        row: Row = {"messages": messages, "continue_final_message": False}
    else:
        row = {"messages": [*messages, user("And one?")]}
    prepared = adapter.prepare(read(row))
    assert prepared.prompt.prompt_ids.tolist() == own_ids(adapter.tokenizer, row)
    pieces = ["One and one?", *TAGS[text], *([] if last else ["And one?"])]
    kept = family == "olmo2" or (last and family in {"qwen3", "qwen3_5"})
    absent = [] if kept or len(TAGS[text]) == 1 else [1]
    assert list(prepared.absent) == absent
    expected = ["" if index in absent else piece for index, piece in enumerate(pieces)]
    assert list(map(bare, texts_of(adapter, prepared))) == list(map(bare, expected))


def test_thinking_by_its_three_names(read: Callable[[Row], Sample]) -> None:
    """Each is the field that the template reads, as in transformers."""
    for family in ("qwen3", "gpt_oss"):
        adapter: Any = plain(family)
        for name in ("reasoning_content", "reasoning", "thinking"):
            message = assistant(None, tool_calls=[CALL], **{name: "I must look."})
            row = {"tools": [TOOL], "messages": [user("Rain?"), message, RESULT]}
            prepared = adapter.prepare(read(row))
            assert prepared.prompt.prompt_ids.tolist() == own_ids(adapter.tokenizer, row)
            assert bare(texts_of(adapter, prepared)[1]) == "Imustlook."


def test_a_continued_answer_after_its_thinking(read: Callable[[Row], Sample]) -> None:
    """The prompt ends with the answer's beginning."""
    for family in ("qwen3", "qwen3_5"):
        adapter: Any = plain(family)
        row = {"messages": [user("What?"), assistant("Two and", reasoning_content="I add them.")]}
        prepared = adapter.prepare(read(row))
        assert prepared.prompt.prompt_ids.tolist() == own_ids(adapter.tokenizer, row)
        assert list(map(bare, texts_of(adapter, prepared))) == ["What?", "Iaddthem.", "Twoand"]
        assert adapter.decode(prepared.prompt.prompt_ids.tolist()).endswith("\n</think>\n\nTwo and")


def test_a_continued_answer_that_its_template_does_not_keep(read: Callable[[Row], Sample]) -> None:
    row = {"messages": [user("What?"), assistant("<think>One</think>Two")]}
    with pytest.raises(OmniTraceError, match="refuses the messages: continue_final_message is set"):
        plain("qwen3").prepare(read(row))


@pytest.mark.parametrize(
    ("family", "args", "end"),
    [
        ("qwen3", {"enable_thinking": False}, "assistant\n<think>\n\n</think>\n\n"),
        ("qwen3", {"enable_thinking": True}, "<|im_start|>assistant\n"),
        ("qwen3_5", {"enable_thinking": False}, "<think>\n\n</think>\n\n"),
        ("gpt_oss", {"reasoning_effort": "high"}, "<|start|>assistant"),
        ("llama3", {"date_string": "1 Jan 2026"}, "assistant<|end_header_id|>\n\n"),
        ("gemma2", {"nothing": [1]}, "<start_of_turn>model\n"),
    ],
)
def test_arguments_of_the_template(
    family: str, args: Row, end: str, read: Callable[[Row], Sample]
) -> None:
    adapter: Any = load(family, replace(SETTINGS, template_args=args))
    row = {"messages": [user("One and one?"), assistant("Two."), user("And one?")]}
    prepared = adapter.prepare(read(row))
    assert prepared.prompt.prompt_ids.tolist() == own_ids(adapter.tokenizer, row, **args)
    text = adapter.decode(prepared.prompt.prompt_ids.tolist())
    assert text.endswith(end)
    if family == "gpt_oss":
        assert "Reasoning: high" in text
    if family == "llama3":
        assert "Today Date: 1 Jan 2026" in text
    assert prepared.prompt.prompt_text.replace(" ", "") == "Oneandone?Two.Andone?"


def test_a_template_of_the_users_own(read: Callable[[Row], Sample]) -> None:
    source = (
        "{% for message in messages %}{{ message['role'] }}: {{ message['content'] | trim }}\n"
        "{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
    )
    adapter: Any = load("smollm", Settings(chat_template=source))
    prepared = adapter.prepare(read({"messages": [user("user ")]}))
    assert adapter.decode(prepared.prompt.prompt_ids.tolist()) == "user: user\nassistant:"
    assert bare(texts_of(adapter, prepared)[0]) == "user"
    assert adapter.decode(
        prepared.prompt.prompt_ids[prepared.prompt.timeline.part < 0].tolist()
    ).startswith("user:")


def test_openais_tool_calls(read: Callable[[Row], Sample]) -> None:
    """Arguments in a string are the object that they spell; what servers write beside is left."""
    spelled = {**CALL, "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    message = assistant(None, tool_calls=[spelled], refusal=None, audio=None, annotations=[])
    row = {"tools": [TOOL], "messages": [user("Rain?"), message, RESULT]}
    object_row = {**row, "messages": [user("Rain?"), assistant(None, tool_calls=[CALL]), RESULT]}
    for family in ("llama3", "mistral", "qwen3", "gpt_oss", "granite"):
        adapter: Any = plain(family)
        prepared = adapter.prepare(read(row))
        assert prepared.prompt.prompt_ids.tolist() == own_ids(adapter.tokenizer, object_row)
        assert "Oslo" in adapter.decode(prepared.prompt.prompt_ids.tolist())


def test_a_tools_result_that_a_template_writes_as_json(read: Callable[[Row], Sample]) -> None:
    """Its tokens are those of the escaped text."""
    result = {**RESULT, "content": 'It is "wet"\nand 7 °C'}
    row = {"messages": [user("Rain?"), assistant(None, tool_calls=[CALL]), result]}
    for family in ("mistral", "gpt_oss"):
        adapter: Any = plain(family)
        prepared = adapter.prepare(read(row))
        assert prepared.prompt.prompt_ids.tolist() == own_ids(adapter.tokenizer, row)
        assert texts_of(adapter, prepared)[1].strip(' "') == 'It is \\"wet\\"\\nand 7 °C'


def test_texts_in_parts(read: Callable[[Row], Sample]) -> None:
    """A model of text gets them as one text, without a word between them; each is placed."""
    parts = [
        {"type": "text", "text": "One"},
        {"type": "input_text", "text": " and one"},
        {"type": "text", "text": "?"},
    ]
    for family in FAMILIES:
        adapter: Any = plain(family)
        prepared = adapter.prepare(read({"messages": [user(parts)]}))
        joined = {"messages": [user("One and one?")]}
        assert prepared.prompt.prompt_ids.tolist() == own_ids(adapter.tokenizer, joined)
        first, *rest = map(bare, texts_of(adapter, prepared))
        assert first + "".join(rest) == "Oneandone?"
        assert first == "One"


IMAGES = ["qwen2_5_vl", "qwen3_5", "gemma3", "llava_next", "smolvlm", "mistral3", "llama4"]


@pytest.mark.parametrize("style", ["openai", "transformers"])
@pytest.mark.parametrize("family", IMAGES)
def test_images_over_several_turns(family: str, style: str, read: Callable[[Row], Sample]) -> None:
    """Each image's tokens are one stretch, and stand in the order of the messages."""
    adapter: Any = plain(family)
    path = str(media_folder() / "photo.png")
    image = (
        {"type": "image_url", "image_url": {"url": f"file://{path}"}}
        if style == "openai"
        else {"type": "image", "path": path}
    )
    row = {
        "messages": [
            user([image, {"type": "text", "text": "What is it?"}]),
            assistant("A lamp."),
            user([image, image, {"type": "text", "text": "And these?"}]),
        ]
    }
    prepared = adapter.prepare(read(row))
    assert [part.kind for part in prepared.prompt.parts] == [
        "image", "text", "text", "image", "image", "text",
    ]  # fmt: skip
    line = prepared.prompt.timeline
    stretches = [(line.medium == medium).nonzero()[0] for medium in range(3)]
    assert len({len(tokens) for tokens in stretches}) == 1
    assert all(tokens[-1] - tokens[0] + 1 == len(tokens) for tokens in stretches)
    assert stretches[0][-1] < stretches[1][0] <= stretches[1][-1] < stretches[2][0]
    read_back = texts_of(adapter, prepared)
    assert [bare(read_back[index]) for index in (1, 2, 5)] == ["Whatisit?", "Alamp.", "Andthese?"]
    between = (line.medium < 0) & (line.part < 0)
    assert "A lamp." not in adapter.decode(prepared.prompt.prompt_ids[between].tolist())


@pytest.mark.parametrize("family", IMAGES)
def test_systems_of_models_that_take_images(family: str, read: Callable[[Row], Sample]) -> None:
    """No template writes a list of parts as Python does."""
    adapter: Any = plain(family)
    row = {"messages": [{"role": "system", "content": "Be brief."}, user("What is it?")]}
    prepared = adapter.prepare(read(row))
    text = adapter.decode(prepared.prompt.prompt_ids.tolist())
    assert "Be brief." in text
    assert "'type'" not in text
    assert list(map(bare, texts_of(adapter, prepared))) == ["Bebrief.", "Whatisit?"]


@pytest.mark.parametrize("family", ["qwen3", "qwen2_5_vl", "gemma3", "qwen2_audio"])
def test_control_tokens_in_texts(family: str, read: Callable[[Row], Sample]) -> None:
    """They would end a turn, or stand for media."""
    adapter: Any = plain(family)
    words = [adapter.tokenizer.eos_token, *adapter.takes.values()]
    for word in words:
        for message in (user(f"Say {word}"), {"role": "tool", "content": f"{word}"}):
            with pytest.raises(OmniTraceError, match="a control token of the model") as caught:
                adapter.prepare(read({"messages": [message, user("Hi")]}))
            assert repr(word) in str(caught.value)


def test_placeholders_among_the_tools_are_refused(read: Callable[[Row], Sample]) -> None:
    """The processor would take them for the places of the media."""
    tool = {"type": "function", "function": {"name": "see", "description": "<|image_pad|>"}}
    source = "{{ tools | tojson }}" + plain("qwen2_5_vl").processor.chat_template  # type: ignore[attr-defined]
    adapter: Any = load("qwen2_5_vl", Settings(chat_template=source))
    image = {"type": "image", "path": str(media_folder() / "photo.png")}
    for content in ([image], "Hi"):
        with pytest.raises(OmniTraceError, match="image"):
            adapter.prepare(read({"tools": [tool], "messages": [user(content)]}))


OTHERS = [name for name, family in TOYS.items() if family.group != "text"]


@pytest.mark.parametrize("family", sorted({*OTHERS} - {"minicpm_o", "voxtral"}))
def test_contents_that_are_strings(family: str, read: Callable[[Row], Sample]) -> None:
    """Processors' templates get lists of parts, and write what they write of the strings.

    MiniCPM-o's processor has no template, and that of Voxtral's tokenizer is no text.
    """
    adapter: Any = plain(family)
    row = {
        "messages": [
            {"role": "system", "content": "Be brief."},
            user("What is it?"),
            assistant("A lamp."),
            user("Whose? "),
        ]
    }
    prepared = adapter.prepare(read(row))
    text = adapter.processor.apply_chat_template(row["messages"], add_generation_prompt=True)
    bos = adapter.tokenizer.bos_token
    begun = bos is not None and text.startswith(bos)
    expected = adapter.tokenizer(text, **({"add_special_tokens": False} if begun else {}))
    assert prepared.prompt.prompt_ids.tolist() == expected["input_ids"]
    texts = ["Bebrief.", "Whatisit?", "Alamp.", "Whose?"]
    assert list(map(bare, texts_of(adapter, prepared))) == texts
