"""Every character of a rendered prompt belongs to the text that it was written from."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import jinja2
import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from transformers.utils.chat_template_utils import render_jinja_template

from omnitrace.errors import OmniTraceError
from omnitrace.timeline import Part
from recorder.inputs.samples import Content, Message, Sample
from recorder.models.render import Rendered, chat_of, parts_of, render

Key = tuple[int, int] | None
"""A text: its message and its part there, -1 for the thinking; None: the template's words."""
Written = Iterator[tuple[str, Key]]
Write = Callable[[list[dict[str, Any]]], Written]

ROLES = ("system", "user", "assistant", "tool")


def sample(*messages: Message, **more: Any) -> Sample:
    return Sample("sample", messages, None, "", **more)


def message(role: str, *texts: str, thinking: str = "", **fields: Any) -> Message:
    return Message(role, tuple(Content("text", text) for text in texts), thinking, fields)


def rendered(write: Write, asked: Sample, args: Mapping[str, Any] | None = None) -> Rendered:
    def template(messages: list[dict[str, Any]], **_: Any) -> str:
        return "".join(text for text, _ in write(messages))

    return render(asked, template, args or {})


def jinja(source: str, asked: Sample, **args: Any) -> Rendered:
    """The prompt by a Jinja template, as transformers renders it."""

    def template(messages: list[dict[str, Any]], tokenize: bool, **options: Any) -> str:
        assert not tokenize
        made: Any = render_jinja_template([messages], chat_template=source, **options)
        return str(made[0][0])

    return render(asked, template, args)


def texts_of(number: int, message: dict[str, Any]) -> Iterator[tuple[str, Key]]:
    """What a plain template writes for the parts of a message."""
    for index, part in enumerate(message.get("content", ())):
        text = part["type"] == "text"
        yield (part["text"], (number, index)) if text else (f"<{part['type']}>", None)


def around(each: Callable[[str, str], str], before: str = "", after: str = "") -> Write:
    """A template that writes what `each` makes of role and text, between two texts of its own."""

    def write(messages: list[dict[str, Any]]) -> Written:
        for number, message in enumerate(messages):
            role = message["role"]
            yield f"<|{role}|>\n", None
            if "thinking" in message:
                yield "(", None
                yield each(role, message["thinking"]), (number, -1)
                yield ")", None
            for text, key in texts_of(number, message):
                yield before, None
                yield each(role, text) if key else text, key
                yield after, None
            yield "<|end|>\n", None

    return write


plain = around(lambda role, text: text)
trimming = around(lambda role, text: text.strip())
trimming_systems = around(lambda role, text: text.strip() if role == "system" else text)
raising_case = around(lambda role, text: text.upper())
escaping = around(lambda role, text: json.dumps(text, ensure_ascii=False)[1:-1], '"', '"')


def repeating(messages: list[dict[str, Any]]) -> Written:
    for _ in range(2):
        yield from plain(messages)


def folding(messages: list[dict[str, Any]]) -> Written:
    """The system's texts stand at the head of the next turn."""
    kept: list[tuple[str, Key]] = []
    for number, message in enumerate(messages):
        texts = [(text, key) for text, key in texts_of(number, message) if key]
        if message["role"] == "system":
            kept += texts
            continue
        yield f"[{message['role']}] ", None
        for text, key in kept:
            yield text, key
            yield "\n\n", None
        yield from texts
        kept = []
    yield from kept


def media_first(messages: list[dict[str, Any]]) -> Written:
    for number, message in enumerate(messages):
        for text, key in sorted(texts_of(number, message), key=lambda each: each[1] is not None):
            yield "\n", None
            yield text, key


def looking(messages: list[dict[str, Any]]) -> Written:
    """Writes another mark before texts that begin with a word."""
    for number, message in enumerate(messages):
        for text, key in texts_of(number, message):
            yield "* " if text.startswith("Take") else "- ", None
            yield text, key


def owners(write: Write, asked: Sample) -> tuple[str, list[int]]:
    """The prompt, and the part of each character as the template itself says it, -1: none.

    For texts without tags of thinking.
    """
    places: dict[Key, int] = {}
    for number, message in enumerate(asked.messages):
        if message.thinking:
            places[number, -1] = len(places)
        for index in range(len(message.parts)):
            places[number, index] = len(places)
    text, part = "", []
    for written, key in write(chat_of(asked.messages, str)):
        text += written
        part += [places.get(key, -1)] * len(written)
    return text, part


def assert_owned(found: Rendered, text: str, part: list[int]) -> None:
    """Equal, but that blanks may be nobody's."""
    assert found.text == text
    assert found.part.dtype == np.int32
    assert found.part.shape == (len(text),)
    wrong = np.flatnonzero(found.part != part).tolist()
    assert [text[at] for at in wrong if found.part[at] >= 0 or not text[at].isspace()] == []


WORDS = st.sampled_from(
    [
        "user",
        "Take",
        " ",
        "\n",
        "",
        "<|end|>\n",
        "system",
        "a",
        "()",
        "…",
        "é",
        "你好",
        "🙂",
        "שלום",
    ]
)
TEXTS = st.one_of(
    st.lists(WORDS, max_size=6).map("".join),
    st.text(max_size=20),
    st.text(st.sampled_from("\U000f0000\U000f0001\U000f0002\U000ffffd\ue000 a\n"), max_size=8),
)


@st.composite
def messages(draw: st.DrawFn) -> Sample:
    """Up to five messages of up to three parts, without tags of thinking."""
    made = []
    for _ in range(draw(st.integers(1, 5))):
        role = draw(st.sampled_from(ROLES))
        kinds = draw(st.lists(st.sampled_from(["text", "text", "image", "audio"]), max_size=3))
        parts = tuple(Content(kind, draw(TEXTS) if kind == "text" else "") for kind in kinds)
        thinking = draw(TEXTS) if role == "assistant" else ""
        made.append(Message(role, parts, thinking if thinking.strip() else ""))
    return sample(*made)


@pytest.mark.parametrize(
    "write",
    [plain, trimming, trimming_systems, repeating, escaping, raising_case, folding, media_first],
)
@given(asked=messages())
def test_every_character_belongs_to_its_text(write: Write, asked: Sample) -> None:
    if write in (folding, media_first):  # which know no thinking
        asked = sample(*(Message(m.role, m.parts) for m in asked.messages))
    found = rendered(write, asked)
    assert_owned(found, *owners(write, asked))
    assert found.absent == ()


@given(asked=messages())
def test_templates_that_look_into_texts(asked: Sample) -> None:
    """Only where a text could be at two places is the sample refused."""
    asked = sample(*(Message(m.role, m.parts) for m in asked.messages))
    try:
        found = rendered(looking, asked)
    except OmniTraceError as error:
        if "cannot be told whose they are" in str(error):
            return
        raise
    assert_owned(found, *owners(looking, asked))


def test_only_the_text_that_a_template_looks_into_is_searched_for() -> None:
    """Texts beside it that stand in the template's own words too are still told apart."""
    found = rendered(looking, sample(message("user", "* ", "Take it", "- ", " ")))
    assert found.text == "- * * Take it- - -  "
    assert found.part.tolist() == [-1, -1, 0, 0, -1, -1, *[1] * 7, -1, -1, 2, 2, -1, -1, 3]


def test_a_text_that_is_searched_for_and_stands_in_two_places_is_refused() -> None:
    def write(messages: list[dict[str, Any]]) -> Written:
        [(text, key)] = texts_of(0, messages[0])
        yield ("Take: " if text.startswith("Take") else "") + text, key

    with pytest.raises(OmniTraceError, match=r"'Take' stands in 2 places of the prompt and in 1"):
        rendered(write, sample(message("user", "Take")))


def test_equal_texts_that_are_searched_for_are_taken_in_order() -> None:
    asked = sample(message("user", "Take it", "Take it", "Take it now"))
    found = rendered(looking, asked)
    assert_owned(found, *owners(looking, asked))
    assert set(found.part.tolist()) == {-1, 0, 1, 2}


def dropping(last: int) -> Write:
    """A template that writes the thinking of the messages from `last` on, and cuts texts at
    `</think>`."""

    def write(messages: list[dict[str, Any]]) -> Written:
        for number, message in enumerate(messages):
            yield f"<{message['role']}>", None
            if "reasoning_content" in message and number >= last:
                yield message["reasoning_content"].strip("\n"), None
            for text, _ in texts_of(number, message):
                cuts = message["role"] == "assistant"
                yield text.split("</think>")[-1].lstrip("\n") if cuts else text, None

    return write


def test_earlier_thinking_that_a_template_leaves_out_is_absent() -> None:
    asked = sample(
        message("user", "One?"),
        message("assistant", "Two", thinking="\nTwo\n"),
        message("user", "And then?"),
        message("assistant", "Two", thinking="One, Two"),
    )
    assert len(parts_of(asked.messages)) == 6
    assert rendered(plain, asked).absent == ()
    found = rendered(dropping(3), asked)
    assert found.absent == (1,)
    assert found.text == "<user>One?<assistant>Two<user>And then?<assistant>One, TwoTwo"
    assert _stretches(found) == [(0, "One?"), (2, "Two"), (3, "And then?"), (4, "One, Two"),
                                 (5, "Two")]  # fmt: skip


def _stretches(found: Rendered) -> list[tuple[int, str]]:
    """The parts and their characters, in the order of the prompt."""
    cuts = np.flatnonzero(np.diff(found.part, prepend=-2, append=-2))
    owned = [(a, b) for a, b in pairwise(cuts) if found.part[a] >= 0]
    return [(int(found.part[a]), found.text[a:b]) for a, b in owned]


@pytest.mark.parametrize(
    ("text", "parts", "stretches", "absent"),
    [
        ("<think>\nWhy?\n</think>\n\nSo.", 2, [(1, "So.")], (0,)),
        ("Why?</think>So.", 2, [(1, "So.")], (0,)),
        ("</think>", 1, [], (0,)),
        ("</think>So.", 1, [(0, "So.")], ()),
        ("<think></think>", 1, [], (0,)),
        ("<think>Why?", 2 - 1, [(0, "Why?")], ()),
        ("a</think>b</think>c", 3, [(2, "c")], (0, 1)),
        ("[THINK]Why?[/THINK]So.", 2, [(0, "Why?"), (1, "So.")], ()),
    ],
)
def test_texts_are_cut_at_the_tags_of_thinking(
    text: str, parts: int, stretches: list[tuple[int, str]], absent: tuple[int, ...]
) -> None:
    asked = sample(message("assistant", text))
    assert parts_of(asked.messages) == (Part("assistant", "text"),) * parts
    found = rendered(dropping(0), asked)
    assert _stretches(found) == stretches
    assert found.absent == absent


@given(st.lists(st.sampled_from(["<think>", "</think>", "[THINK]", "a", "\n", " "]), max_size=9))
def test_tags_in_any_order(pieces: list[str]) -> None:
    """Whatever is left by the template is owned, and by the part that it is of."""
    text = "".join(pieces)
    asked = sample(message("user", "Q"), message("assistant", text))
    found = rendered(dropping(0), asked)
    assert found.text == "<user>Q<assistant>" + text.split("</think>")[-1].lstrip("\n")
    number = 1
    pieces = re.split(r"</?think>|\[/?THINK\]", text)
    kept = len(re.split(r"</?think>|\[/?THINK\]", text.split("</think>")[-1].lstrip("\n")))
    for index, piece in enumerate(pieces):
        if not piece.strip():
            continue
        owned = "".join(np.array(list(found.text))[found.part == number].tolist())
        assert owned.strip() == (piece.strip() if index >= len(pieces) - kept else "")
        number += 1


def test_tags_of_thinking_in_the_users_texts_are_texts() -> None:
    asked = sample(message("user", "What is <think> in </think> a text?"))
    assert len(parts_of(asked.messages)) == 1
    assert (rendered(plain, asked).part >= 0).sum() == 35


def test_media_are_numbered_as_they_come() -> None:
    content = (Content("image"), Content("text", "A"), Content("video"))
    messages = (Message("user", content), Message("user", (Content("audio"),)))
    assert parts_of(messages) == (
        Part("user", "image", 0),
        Part("user", "text"),
        Part("user", "video", 1),
        Part("user", "audio", 2),
    )


@pytest.mark.parametrize("role", ["system", "developer", "user", "tool"])
def test_a_text_that_a_template_leaves_out_is_refused(role: str) -> None:
    def write(messages: list[dict[str, Any]]) -> Written:
        for number, message in enumerate(messages[1:], 1):
            yield from texts_of(number, message)

    with pytest.raises(OmniTraceError, match=f"drops a text of the role {role}: 'Be brief.'; put"):
        rendered(write, sample(message(role, " Be brief. "), message("user", "Hi")))
    assert rendered(write, sample(message(role, " \n"), message("user", "Hi"))).absent == ()


@pytest.mark.parametrize("text", ["What does the image show?", "A"])
def test_a_text_that_a_template_cuts_is_refused(text: str) -> None:
    cutting = around(lambda role, text: text[: len(text) // 2])
    with pytest.raises(OmniTraceError, match="changes or drops a text of the role user"):
        rendered(cutting, sample(message("user", text)))


def test_a_template_that_takes_texts_apart_where_marks_stand() -> None:
    """A text that a template writes in two pieces is searched for, and is not found."""

    def write(messages: list[dict[str, Any]]) -> Written:
        [(text, key)] = texts_of(0, messages[0])
        yield text[0] + "-" + text[1:], key

    with pytest.raises(OmniTraceError, match="changes or drops a text"):
        rendered(write, sample(message("user", "Hello")))


REFUSALS = [
    "{{ raise_exception('Roles must alternate.') }}",
    "{{ messages[9]['content'] + 'a' }}",
    "{{ messages[0]['content'] + 1 }}",
    "{{ 1 / 0 }}",
    "{{ messages[0]['content'][0]['text'].nothing.at_all }}",
    "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
    "{{ messages[0]['content'] | tojson | int + {} }}",
    "{% for message in messages %}{{ message['content'] | first | length }}{% endfor",
]


@pytest.mark.parametrize("source", REFUSALS)
def test_what_a_template_refuses_is_one_sentence(source: str) -> None:
    with pytest.raises(OmniTraceError, match="chat template refuses the messages: ") as caught:
        jinja(source, sample(message("user", "Hi")))
    assert "\n" not in str(caught.value)


def test_a_template_that_refuses_only_texts_between_marks() -> None:
    """The prompt is what the template makes of the texts as they are."""
    source = (
        "{% for message in messages %}{% set text = message['content'][0]['text'] %}"
        "{% if message['role'] == 'tool' and not text.startswith('{') %}"
        "{{ raise_exception('JSON only') }}{% endif %}[{{ text }}]{% endfor %}"
    )
    found = jinja(
        source, sample(message("user", "["), message("tool", '{"a": 1}'), message("user", "]"))
    )
    assert found.text == '[[][{"a": 1}][]]'
    assert _stretches(found) == [(0, "["), (1, '{"a": 1}'), (2, "]")]


def test_equal_messages_are_equal_in_the_template() -> None:
    """Mistral's template writes the tools before every message that equals the last one."""
    source = (
        "{% set users = messages | selectattr('role', 'equalto', 'user') | list %}"
        "{% for message in messages %}{% if message == users[-1] %}[TOOLS]{% endif %}"
        "<{{ message['role'] }}>{{ message['content'][0]['text'] }}{% endfor %}"
    )
    asked = sample(message("user", "Go on"), message("assistant", "user"), message("user", "Go on"))
    found = jinja(source, asked)
    assert found.text == "[TOOLS]<user>Go on<assistant>user[TOOLS]<user>Go on"
    assert _stretches(found) == [(0, "Go on"), (1, "user"), (2, "Go on")]


def test_the_templates_arguments() -> None:
    """An answer is asked for, or the last one continued; tools and arguments are passed."""
    source = (
        "{% for message in messages %}{{ message['role'] }}: {{ message['content'][0]['text'] }}\n"
        "{% endfor %}{% if tools %}{{ tools | tojson }}{% endif %}"
        "{% if think is defined %}{{ think }}{% endif %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    user, answer = message("user", "Hi"), message("assistant", "Well,  ")
    assert jinja(source, sample(user)).text == "user: Hi\nassistant: "
    assert jinja(source, sample(user, answer)).text == "user: Hi\nassistant: Well,  \nassistant: "
    continued_sample = sample(user, answer, continues=True)
    continued = jinja(source, continued_sample)
    assert continued.text == "user: Hi\nassistant: Well,  "
    assert _stretches(continued) == [(0, "Hi"), (1, "Well,  ")]
    trimming = source.replace("['text'] }}", "['text'] | trim }}")
    assert (
        jinja(trimming, sample(user, answer, continues=True)).text == "user: Hi\nassistant: Well,"
    )
    tools = jinja(source, sample(user, tools=({"name": "a"},)), think=False)
    assert tools.text == 'user: Hi\n[{"name": "a"}]Falseassistant: '


def test_messages_as_templates_take_them() -> None:
    call = {"function": {"name": "add", "arguments": {"a": 1}}}
    asked = (
        message("user", "Add.", "Now"),
        message("assistant", thinking="Hm", tool_calls=[call]),
        message("tool", "2", tool_call_id="1", name="add"),
        Message("user", (Content("image"), Content("text", ""))),
    )
    assert chat_of(asked, str.upper) == [
        {"role": "user", "content": [{"type": "text", "text": "ADD."},
                                     {"type": "text", "text": "NOW"}]},
        {"role": "assistant", "reasoning_content": "HM", "reasoning": "HM", "thinking": "HM",
         "tool_calls": [call]},
        {"role": "tool", "content": [{"type": "text", "text": "2"}], "tool_call_id": "1",
         "name": "add"},
        {"role": "user", "content": [{"type": "image", "image": "medium"},
                                     {"type": "text", "text": ""}]},
    ]  # fmt: skip


@example("\U000f0000")
@example("".join(map(chr, range(0xF0000, 0xFFFFE))))
@given(st.text(st.characters(categories=["Co", "Zs", "Cf", "Mn"]), max_size=30))
def test_texts_of_characters_that_the_marks_are_made_of(text: str) -> None:
    asked = sample(message("system", text), message("user", text + "a"))
    assert_owned(rendered(plain, asked), *owners(plain, asked))


def test_long_texts() -> None:
    long = "Take \U000f0000 it. 🙂\n" * 8_000
    assert len(long) > 100_000
    for write in (plain, trimming, looking):
        asked = sample(message("user", "Take a", long, "b"))
        assert_owned(rendered(write, asked), *owners(write, asked))


def test_many_texts() -> None:
    """More than there are marks: they are looked for, and found."""
    asked = sample(message("user", *(f"<{number:05}>" for number in range(33_000))))
    found = rendered(plain, asked)
    assert found.part[9 + 7 * 32_999] == 32_999


@given(messages())
def test_a_template_that_is_no_function_of_its_messages(asked: Sample) -> None:
    """Where rendering again gives another prompt, every text is found or the sample refused."""
    assume(
        any(part.kind == "text" and part.text.strip() for m in asked.messages for part in m.parts)
    )
    times = iter(range(10_000))

    def write(messages: list[dict[str, Any]]) -> Written:
        yield f"{next(times)}\n", None
        yield from plain(messages)

    try:
        found = rendered(write, asked)
    except OmniTraceError:
        return
    for index, text in enumerate(_texts(asked)):
        own = found.text[int((found.part == index).argmax()) :] if text.strip() else ""
        assert own.startswith(text.strip())


def _texts(asked: Sample) -> list[str]:
    """The text of each part, empty for a medium."""
    found = []
    for message in asked.messages:
        found += [message.thinking] if message.thinking else []
        found += [part.text for part in message.parts]
    return found


def test_the_errors_are_those_of_jinja() -> None:
    def write(messages: list[dict[str, Any]]) -> Written:
        yield from plain(messages)
        raise jinja2.TemplateError("No messages\nof this kind")

    with pytest.raises(OmniTraceError, match="refuses the messages: No messages"):
        rendered(write, sample(message("user", "Hi")))
