"""Incremental decoding: the pieces make up the text, whatever the tokens."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from recorder.models.qwen_omni import QwenOmni
from recorder.models.tokens import decode_with_offsets

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def check(ids: list[int], adapter: QwenOmni) -> str:
    text, chars = decode_with_offsets(ids, adapter.decode)
    assert text == adapter.decode(ids)
    assert chars.shape == (len(ids), 2)
    edges = [0, *chars.reshape(-1).tolist(), len(text)]
    assert edges[1::2] == edges[::2]  # each range starts where the one before ends
    return text


@given(text=TEXTS)
def test_any_text(text: str, adapter: QwenOmni) -> None:
    ids = adapter.processor.tokenizer(text)["input_ids"]
    check(ids, adapter)


@given(data=st.data())
def test_any_ids_even_broken_bytes(data: st.DataObject, adapter: QwenOmni) -> None:
    top = len(adapter.processor.tokenizer) - 1
    check(data.draw(st.lists(st.integers(0, top), max_size=30)), adapter)


def test_a_character_of_many_tokens_belongs_to_the_last(adapter: QwenOmni) -> None:
    ids = adapter.processor.tokenizer("a🙂b")["input_ids"]
    text, chars = decode_with_offsets(ids, adapter.decode)
    owners = [text[start:end] for start, end in chars]
    assert text == "a🙂b"
    assert len(ids) > 3
    assert [piece for piece in owners if piece] == ["a", "🙂", "b"]


def test_nothing_decodes_to_nothing(adapter: QwenOmni) -> None:
    text, chars = decode_with_offsets([], adapter.decode)
    assert text == ""
    assert chars.shape == (0, 2)


def test_decoders_that_drop_a_first_space() -> None:
    words = ["▁The", "▁cat", "s", "▁sat"]

    def decode(ids: list[int]) -> str:
        return "".join(words[i] for i in ids).replace("▁", " ").lstrip(" ")

    text, chars = decode_with_offsets([0, 1, 2, 3], decode)
    assert [text[a:b] for a, b in chars] == ["The", " cat", "s", " sat"]
