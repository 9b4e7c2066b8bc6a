"""What each token of a prompt is: parts and characters, patches, seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitrace.errors import OmniTraceError
from omnitrace.timeline import Modality, Part, Timeline
from recorder.inputs.samples import Content, Message
from recorder.models import layout
from recorder.models.layout import Replacement, Template
from recorder.models.render import Rendered
from tests.recorder.toys import tokenizers


def ints(*values: int) -> Any:
    return np.array(values, np.int32)


def pairs(*values: tuple[int, ...]) -> Any:
    return np.array(values, np.int32).reshape(-1, 2)


TOKENIZERS = [tokenizers.qwen(), tokenizers.mistral(), tokenizers.llama3()]
PLACEHOLDERS = ["<|image_pad|>"]


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (Message("user", (Content("text", "Say <|im_end|> twice"),)), "<|im_end|>"),
        (Message("assistant", (), thinking="<|im_start|>"), "<|im_start|>"),
        (
            Message("user", (Content("text", "a"), Content("text", "<|image_pad|>"))),
            "<|image_pad|>",
        ),
    ],
)
def test_control_tokens_in_texts_are_refused(message: Message, named: str) -> None:
    tokenizer = tokenizers.qwen()
    with pytest.raises(OmniTraceError, match="remove it or write it differently") as caught:
        layout.refuse_control_tokens([message], tokenizer, PLACEHOLDERS)
    assert f"'{named}'" in str(caught.value)


def test_added_tokens_that_are_no_control_tokens_are_texts() -> None:
    message = Message("assistant", (Content("text", "<think>x</think> <tool_call> <|im|>"),))
    layout.refuse_control_tokens([message], tokenizers.qwen(), PLACEHOLDERS)


def test_prompts_beyond_the_context_are_refused() -> None:
    layout.refuse_length(10, 10)
    with pytest.raises(OmniTraceError, match="has 11 tokens; the model takes at most 10: shorten"):
        layout.refuse_length(11, 10)


TEXTS = st.text("ab<\n é", max_size=5)


@given(st.lists(st.tuples(TEXTS, st.integers(-1, 3), TEXTS), max_size=5), TEXTS)
def test_replaced_placeholders_belong_to_their_media(
    pieces: list[tuple[str, int, str]], tail: str
) -> None:
    """Each piece of a text, a placeholder behind it, and what that is replaced by."""
    before, replacements, after = "", [], ""
    part: list[int] = []
    parts: list[int] = []
    for text, own, new in pieces:
        before += text
        after += text + new
        part += [own] * len(text) + [-1] * 3
        parts += [own] * len(text) + [7] * len(new)
        replacements.append(Replacement(len(before), len(before) + 3, new, 7))
        before += "<i>"
    part += [2] * len(tail)
    parts += [2] * len(tail)
    expanded = layout.expand(Rendered(before + tail, ints(*part), (4,)), replacements)
    assert expanded.text == after + tail
    assert expanded.part.tolist() == parts
    assert expanded.part.dtype == np.int32
    assert expanded.absent == (4,)


@given(st.lists(st.tuples(st.integers(-1, 3), st.sampled_from("x \n")), max_size=12), st.data())
def test_the_part_of_a_token(characters: list[tuple[int, str]], data: st.DataObject) -> None:
    """The first of which it shows a character; if it shows none at all, the first it touches."""
    part, text = [own for own, _ in characters], "".join(letter for _, letter in characters)
    place = st.integers(0, len(part))
    offsets = data.draw(st.lists(st.tuples(place, place).map(sorted).map(tuple), max_size=9))
    found = layout.parts_of_tokens(Rendered(text, ints(*part)), pairs(*offsets))
    expected = []
    for a, b in offsets:
        seen = [own for own, letter in characters[a:b] if letter == "x"]
        touched = seen if seen else part[a:b]
        expected.append(next((own for own in touched if own >= 0), -1))
    assert found.tolist() == expected
    assert found.dtype == np.int32


def test_a_mark_that_takes_the_blanks_behind_it_is_the_templates() -> None:
    """Phi-3: of a text that begins with blanks they belong to the mark of the role."""
    tokenizer = tokenizers.phi3()
    rendered = Rendered("<|user|>\n  Hi", ints(*[-1] * 9, 0, 0, 0, 0))
    made = layout.tokenize(tokenizer, rendered, [], {})
    assert tokenizer.decode(made.ids[made.part < 0]) == "<|user|>"
    assert tokenizer.decode(made.ids[made.part == 0]).strip() == "Hi"


def decode(ids: Sequence[int]) -> str:
    """Ids are code points; 0 is a token of no text."""
    return "".join(chr(id) for id in ids if id)


def test_the_tokenizers_own_offsets() -> None:
    """Where all that is visible lies in a token they are taken as they are."""
    offsets = pairs((0, 0), (0, 2), (3, 4))
    found = layout.token_offsets("ab c", ints(0, 97, 99), offsets, decode)
    assert found is offsets


@pytest.mark.parametrize(
    "text", ["e\u0301 a", "Vie\u0302\u0323t", "\u1112\u1161\u11ab\u1100\u1173\u11af", "q\u0301"]
)
def test_characters_that_a_tokenizer_composes(text: str) -> None:
    """Qwen's writes texts in NFC: a letter and its accents are one character, of no token each."""
    tokenizer = tokenizers.qwen()
    encoded = tokenizer(text, return_offsets_mapping=True)
    ids, offsets = ints(*encoded["input_ids"]), pairs(*encoded["offset_mapping"])
    assert layout.token_offsets(text, ids, offsets, tokenizer.decode) is offsets


@given(st.text(max_size=12))
def test_any_text_is_covered_by_its_tokens(text: str) -> None:
    for tokenizer in TOKENIZERS:
        encoded = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
        ids, offsets = ints(*encoded["input_ids"]), pairs(*encoded["offset_mapping"])
        assert layout.token_offsets(text, ids, offsets, decode) is offsets


@pytest.mark.parametrize("given_offsets", [None, pairs((0, 0), (0, 0), (0, 0)), pairs((0, 1))])
def test_offsets_by_decoding_where_the_tokenizer_gives_none(given_offsets: Any) -> None:
    found = layout.token_offsets("abc", ints(97, 98, 99), given_offsets, decode)
    assert found.tolist() == [[0, 1], [1, 2], [2, 3]]


def test_offsets_by_decoding_with_a_token_before_the_text() -> None:
    found = layout.token_offsets("abc", ints(ord("^"), 97, 98, 99), None, decode)
    assert found.tolist() == [[0, 0], [0, 1], [1, 2], [2, 3]]


def test_offsets_by_decoding_with_a_blank_that_is_dropped() -> None:
    found = layout.token_offsets(" abc", ints(97, 98, 99), None, decode)
    assert found.tolist() == [[1, 2], [2, 3], [3, 4]]


def test_tokens_that_do_not_give_the_prompt() -> None:
    with pytest.raises(OmniTraceError, match="its tokens cannot be placed"):
        layout.token_offsets("abc", ints(97, 99), None, decode)


SPREAD = Template(
    ids=ints(1, 50, 2, 3, 50), part=ints(-1, -1, 0, -1, -1), holders=np.array([0, 1, 0, 0, 1], bool)
)


def test_placeholders_are_spread_over_their_tokens() -> None:
    prompt = ints(1, 50, 50, 50, 2, 3, 50)
    found = SPREAD.spread(prompt, [(5, 3), (6, 1)])
    assert found.tolist() == [-1, 5, 5, 5, 0, -1, 6]
    assert SPREAD.part.tolist() == [-1, -1, 0, -1, -1]


@pytest.mark.parametrize(
    ("prompt", "media"),
    [
        (ints(1, 50, 50, 50, 2, 3, 50), [(5, 3)]),
        (ints(1, 50, 50, 50, 2, 3, 50), [(5, 2), (6, 1)]),
        (ints(1, 50, 50, 50, 9, 3, 50), [(5, 3), (6, 1)]),
        (ints(9, 50, 50, 50, 2, 3, 50), [(5, 3), (6, 1)]),
        (ints(), [(5, 3), (6, 1)]),
    ],
)
def test_a_prompt_that_is_not_the_template(prompt: Any, media: list[tuple[int, int]]) -> None:
    with pytest.raises(OmniTraceError, match="is not its chat template with the media laid out"):
        SPREAD.spread(prompt, media)


def test_a_template_is_tokenized_with_its_placeholders() -> None:
    tokenizer = tokenizers.qwen("<|image_pad|>")
    text = "<|im_start|>Look<|image_pad|>!"
    part = ints(*[-1] * 12, *[0] * 4, *[-1] * 13, 1)
    holder = tokenizer.convert_tokens_to_ids("<|image_pad|>")
    made = layout.tokenize(tokenizer, Rendered(text, part), [holder], {})
    assert tokenizer.decode(made.ids) == text
    assert tokenizer.decode(made.ids[made.part == 0]) == "Look"
    assert tokenizer.decode(made.ids[made.part == 1]) == "!"
    assert made.ids[made.holders].tolist() == [holder]
    begun = layout.tokenize(tokenizers.llama3(), Rendered("a", ints(0)), [], {})
    assert begun.part.tolist() == [-1, 0]
    options = {"add_special_tokens": False}
    bare = layout.tokenize(tokenizers.llama3(), Rendered("a", ints(0)), [], options)
    assert bare.part.tolist() == [0]


def test_texts_are_placed_with_their_characters() -> None:
    """The text of all parts in one string, whatever stands between their tokens."""
    parts = (Part("user", "text"), Part("user", "image", 0), Part("user", "text"))
    ids = ints(ord("<"), 97, 98, 7, 7, 99, ord(">"))
    line = Timeline.blank(7)
    read = layout.place_texts(line, ids, parts, ints(-1, 0, 0, 1, 1, 2, -1), decode)
    assert read == "abc"
    assert line.chars.tolist() == [[0, 0], [0, 1], [1, 2], [0, 0], [0, 0], [2, 3], [0, 0]]
    text, special = Modality.TEXT, Modality.SPECIAL
    assert line.modality.tolist() == [special, text, text, special, special, text, special]
    assert line.part.tolist() == [-1, 0, 0, -1, -1, 2, -1]


def test_tokens_that_wrap_a_medium_belong_to_it() -> None:
    parts = (Part("user", "image", 0), Part("user", "text"), Part("user", "image", 1))
    line = Timeline.blank(5)
    layout.place_medium(line, np.arange(2, 5), parts, 1)
    assert line.medium.tolist() == [-1, -1, 1, 1, 1]
    assert line.part.tolist() == [-1, -1, 2, 2, 2]
    assert set(line.modality) == {Modality.SPECIAL}


def test_patches_stand_frame_by_frame_and_row_by_row() -> None:
    line = Timeline.blank(14)
    layout.place_patches(line, np.arange(1, 13), (2, 2, 3), Modality.VIDEO)
    assert line.frame.tolist() == [-1, *[0] * 6, *[1] * 6, -1]
    assert line.row.tolist() == [-1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1, -1]
    assert line.column.tolist() == [-1, *[0, 1, 2] * 4, -1]
    assert set(line.modality[1:13]) == {Modality.VIDEO}


def test_seconds_end_with_the_medium() -> None:
    line = Timeline.blank(4)
    layout.place_seconds(line, np.array([1, 2, 3]), np.array([0.0, 0.4, 0.8]), 0.4, 1.0)
    assert np.isnan(line.start_s[0])
    assert line.start_s[1:].tolist() == [0.0, 0.4, 0.8]
    assert line.end_s[1:].tolist() == [0.4, 0.8, 1.0]
