"""Sentences of answers: what ends one, what does not, and that no character is lost."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.sentences import scores
from omnitrace.passages import passages
from omnitrace.splitting import sentences_of, split
from tests.omnitrace.answers import labelled_answers

TRICKY = (
    *("- ", "1. ", "(A) ", "# ", "> ", "```", "|a|b|\n|-|-|\n", "---", "**", "\n\n"),
    *("\n", "$$", "\\[", "Dr. ", "Fig. 3", "e.g. ", "Wait... ", "?!", ". ", "! ", "。"),
    *("」", "”", "[1]", "https://a.b/c. ", "e\u0301", "👨\u200d👩\u200d👧", "❗\ufe0f"),
    *("👍\U0001f3fd", "क्षि", "🇫🇷", "\u200d", "\u0301", "\ufe0f"),
)
PIECES = st.sampled_from(TRICKY)
TEXTS = st.lists(PIECES | st.characters(), max_size=40).map("".join)


def cut(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences_of(text).tolist()]


@settings(deadline=None, max_examples=400)
@given(TEXTS, st.booleans())
def test_every_visible_character_lies_in_exactly_one_sentence(text: str, everywhere: bool) -> None:
    """Also with a pipeline that would begin a sentence at any character."""
    begins = frozenset(range(len(text))) if everywhere else None
    ranges = split(text, passages(text), begins)
    assert ranges.dtype == "int32"
    assert ranges.shape == (len(ranges), 2)
    last = 0
    for start, end in ranges.tolist():
        assert last <= start < end
        assert not text[last:start].strip()
        assert text[start:end] == text[start:end].strip()
        last = end
    assert not text[last:].strip()


@settings(deadline=None, max_examples=400)
@given(TEXTS)
def test_no_character_is_cut_from_its_marks(text: str) -> None:
    for start, _ in sentences_of(text).tolist()[1:]:
        assert unicodedata.category(text[start]) not in ("Mn", "Mc", "Me")
        assert text[start] not in "\u200d\ufe0e\ufe0f"
        assert text[start - 1] != "\u200d"


@settings(deadline=None, max_examples=200)
@given(TEXTS)
def test_no_sentence_is_bare(text: str) -> None:
    """Of several sentences each has a letter or digit."""
    found = cut(text)
    assert len(found) < 2 or all(any(c.isalnum() for c in one) for one in found if len(one) <= 200)


@pytest.mark.parametrize(
    "sentence",
    [
        "See Fig. 3 and p. 12 of the report by Lee et al. in approx. 40 copies.",
        "It lies on 5th Ave. in the U.S. Capitol, No. 204, cf. Eq. 4 and Sec. A.",
        "J. R. R. Tolkien met Dr. C. S. Lewis Jr. at 9 a.m. on Jan. 5, i.e. on a Monday.",
        "Version 3.11.4 of setup.py is at https://example.org/a.b?c=d.e. and costs $2.50 at 10.30.",
        "Use `a. B. c()` or [a. B](http://x.y/z.html) or $a. B$ here.",
        '"Where are you going?" she asked.',
        '"Stop!" Anna said, and "Why?" is a question.',
        "The tool (v2. It is new! Really.) works well.",
        "Well... almost all of it, vs. nothing.",
        "Am 3. Oktober kam Hr. Meier, d. h. z. B. um 10 Uhr.",
        "It rained; Anna stayed at home; G. Lee did not.",
        "III. Results of the study",
    ],
)
def test_what_ends_no_sentence(sentence: str) -> None:
    assert cut(sentence) == [sentence]
    if sentence[-1] in ".?":
        assert cut(f"{sentence} Then it ended.") == [sentence, "Then it ended."]


@pytest.mark.parametrize(
    "sentences",
    [
        ["So it is plan B.", "The rest is known."],
        ["It opens at 8 a.m.", "We wait."],
        ["Bring pens, paper, etc.", "Paris is far."],
        ["Is it true?!", "(Yes.)", '"It is."', "“Good.”", "Done.[1][2]", "Really.¹", "End…", "So."],
        ["Great! 🎉👨‍👩‍👧", "Go on. 😊", "Bye."],
        ["Read `a.b`.", "`c` is next.", "$x$ too."],
        ["今天下雨。", "他说：“走吧！”", "他走了……", "好吗？", "「行く！」と言った。"],
        ["यह है।", "क्या?", "ہے۔", "ما هذا؟", "نعم."],
        ["Την έχετε δει;", "Ναι."],
        ["i like it.", "it is good.", "is it?", "yes."],
        ["It is a work of art.", "Monet made it in the sun.", "Ann saw it."],
        ["The answer is 42.", "In 1990 it was 7.", "No.", "A 5 is wrong."],
    ],
)
def test_what_ends_a_sentence(sentences: list[str]) -> None:
    joined = " ".join(sentences)
    assert cut(joined) == sentences


@pytest.mark.parametrize(
    "sentences",
    [
        ["# Title", "Text."],
        ["1. **Accuracy**: It is right.", "It is fast."],
        ["- **Speed.** It is fast."],
        ["Text.\n\n---", "More."],
        ["1.\n\nFirst"],
        ["Fine.\n\n🎉🎉", "Bye."],
        ["| a | b |\n|---|---|", "| 1. A | 2. B |"],
        ["<think>\nHm. ", "Yes.\n</think>", "It is."],
    ],
)
def test_marks_without_words_are_part_of_a_neighbour(sentences: list[str]) -> None:
    text = "\n\n".join(sentences)
    if sentences[0].startswith("|"):
        text = "\n".join(sentences)
    assert cut(text) == [sentence.strip() for sentence in sentences]


def test_the_labelled_answers_are_cut_as_labelled() -> None:
    """A floor below what benchmarks/results/sentences.json has."""
    answers = labelled_answers()
    assert len(answers) == 200
    found = scores(sentences_of, answers)
    assert found["precision"] >= 0.98
    assert found["recall"] >= 0.98
    assert found["answers_right"] >= 0.95


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "(",
            "[",
            "`",
            "$",
            "\\[",
            "**",
            "- ",
            "-",
            "1.",
            "#",
            "> ",
            ". ",
            "！",
            "a\n",
            "|a",
            "_ ",
        ),
        *("Dr. ", "a. ", "`a` b. ", "a 😀 B ", "(a. b) ", "“", "[a](b) c. "),
    ],
)
def test_long_texts_take_no_more_than_linear_time(piece: str) -> None:
    text = piece * (20_000 // len(piece))
    begun = time.process_time()
    sentences_of(text)
    assert time.process_time() - begun < 5
