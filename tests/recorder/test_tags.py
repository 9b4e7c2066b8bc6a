"""The tagger: words, parts of speech and sentences of any text, and their alignment to steps."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.lang.en import English
from spacy.tokens import Doc

from omnitrace.arrays import Int32
from omnitrace.errors import CommandError, OmniTraceError
from recorder import tags as tags_module
from recorder.config import TAGGER
from recorder.planted import text as wording
from recorder.planted.samples import KINDS, make_plan
from recorder.tags import SPLITTERS, Tagger, Tags, align_pos, load_tagger

UNIVERSAL = (
    *("ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN"),
    *("PUNCT", "SCONJ", "SYM", "VERB", "X"),
)
# Characters that tokenizers and sentence splitters stumble over, beside all others.
TRICKY = st.sampled_from(
    list(" \t\n\r.?!。！”\"'()-*1aZé今\u0301\u200d\u3000\u2028\ud800😀\x00\x1c")
)
TEXTS = st.lists(TRICKY | st.characters(), max_size=60).map("".join)


bundled = cache(load_tagger)


def _sentences(text: str, tagger: Tagger | None = None) -> list[str]:
    ranges = (tagger or bundled()).tag(text).sentences.tolist()
    return [text[start:end] for start, end in ranges]


def _tagged(text: str) -> list[tuple[str, str]]:
    tags = bundled().tag(text)
    words = zip(tags.starts.tolist(), tags.ends.tolist(), strict=True)
    return [(text[a:b], pos) for (a, b), pos in zip(words, tags.pos, strict=True)]


def _splitter() -> English:
    """A quick pipeline with sentence boundaries after full stops and no parts of speech."""
    nlp = English()
    nlp.add_pipe("sentencizer")
    return nlp


@pytest.mark.parametrize(
    "tagged",
    [
        "A/DET red/ADJ circle/NOUN is/AUX in/ADP the/DET third/ADJ picture/NOUN ./PUNCT",
        "The/DET parcel/NOUN weighs/VERB seven/NUM kilos/NOUN ./PUNCT",
        "The/DET video/NOUN shows/VERB a/DET blue/ADJ ball/NOUN ./PUNCT",
        "She/PRON did/AUX n't/PART hear/VERB 3/NUM tones/NOUN ,/PUNCT but/CCONJ two/NUM ./PUNCT",
        "Anna/PROPN lives/VERB in/ADP London/PROPN ./PUNCT",
    ],
)
def test_tags_simple_english(tagged: str) -> None:
    pairs = [tuple(item.split("/")) for item in tagged.split()]
    text = " ".join(word for word, _ in pairs).replace(" n't", "n't").replace(" .", ".")
    assert _tagged(text.replace(" ,", ",")) == pairs


@pytest.mark.parametrize(
    "sentences",
    [
        ["A red circle is in the third picture.", "The parcel weighs seven kilos."],
        ["Dr. Smith arrived at 3.5 km.", "He left."],
        ["The tone starts at 2.5 seconds and ends at 4.0 seconds.", "It is high!", "Is it loud?"],
        ["Mr. and Mrs. Jones bought 1,000 shares at $5.50 each.", "They sold them, e.g. today."],
        ["I was not told which colour it is.", "The ball moves left; it then stops."],
    ],
)
def test_splits_a_line_into_sentences(sentences: list[str]) -> None:
    assert _sentences(" ".join(sentences)) == sentences


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("- one red cat\n- two dogs\n\n  * a bird  ", ["- one red cat", "- two dogs", "* a bird"]),
        (
            "Colours\r\nThe cat is black.\x0bEnd\u2028here",
            ["Colours", "The cat is black.", "End", "here"],
        ),
        ("1. The cat sat.\n2) The dog ran.", ["1. The cat sat.", "2) The dog ran."]),
        ("The cat\nsat.", ["The cat", "sat."]),
        ("今天下雨。他说：“走吧！”他走了", ["今天下雨。", "他说：“走吧！”", "他走了"]),
        ("It is a cat 😀! She sat.\n👨‍👩‍👧\n🎉", ["It is a cat 😀!", "She sat.\n👨‍👩‍👧\n🎉"]),
        ("", []),
        (" \n\t\u3000 \n", []),
    ],
)
def test_line_breaks_and_east_asian_stops_end_sentences(text: str, sentences: list[str]) -> None:
    assert _sentences(text) == sentences


def test_plain_sentences_keep_list_markers_with_their_text() -> None:
    text = "1. Cats. b) Dogs. 2. Birds. 1."
    nlp = _splitter()
    nlp.get_pipe("sentencizer").punct_chars.add(")")  # type: ignore[attr-defined]
    assert _sentences(text, Tagger(nlp, "", "plain")) == ["1. Cats.", "b) Dogs.", "2. Birds.", "1."]


def test_plain_sentences_end_with_stops_where_most_do() -> None:
    nlp = _splitter()
    nlp.get_pipe("sentencizer").punct_chars.add("PM")  # type: ignore[attr-defined]
    tagger = Tagger(nlp, "", "plain")
    edited = ["Cats sat.", "Is it?", "The PM Lee spoke.", "It rained!", "They left."]
    edited += ["So it was.", "Then it ended."]
    assert _sentences(" ".join(edited), tagger) == edited
    notes = "Cats PM dogs. Birds PM Lee"
    assert _sentences(notes, tagger) == ["Cats PM", "dogs.", "Birds PM", "Lee"]


def test_words_that_lie_in_two_sentences_are_cut() -> None:
    nlp = _splitter()
    nlp.tokenizer = _one_word(nlp)
    tags = Tagger(nlp, "").tag("It rains. We stay.\n\n- in\n- out")
    assert [(a, b) for a, b in zip(tags.starts, tags.ends, strict=True)] == [
        (0, 9), (10, 18), (20, 24), (25, 30),
    ]  # fmt: skip
    assert tags.sentences.tolist() == [[0, 9], [10, 18], [20, 24], [25, 30]]


def _one_word(nlp: English) -> Callable[[str], Doc]:
    """A tokenizer by which white space is no border of words."""
    return lambda text: Doc(nlp.vocab, words=[text], spaces=[False])


def test_the_pipeline_cuts_what_has_no_stops() -> None:
    nlp = _splitter()
    nlp.get_pipe("sentencizer").punct_chars.add("PM")  # type: ignore[attr-defined]
    notes = "the cats of the house sleep on the sofa PM " * 6
    assert len(_sentences(notes, Tagger(nlp, ""))) == 6
    assert len(_sentences(notes[:80], Tagger(nlp, ""))) == 1


def test_lines_that_were_full_are_tagged_as_one_line() -> None:
    wrapped = (
        "The old dog that lives in the red house near the river\nbarks at every car that passes."
    )
    joined = wrapped.replace("\n", " ")
    assert bundled().tag(wrapped).pos == bundled().tag(joined).pos
    assert len(_sentences(wrapped)) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_planted_texts_are_tagged_as_by_the_plain_splitter(kind: str) -> None:
    plain = replace(bundled(), splitter="plain")
    for seed in range(4):
        plan = make_plan(seed, kind)
        answer = " ".join(text for text, _ in wording.answer(plan.questions, plan.facts))
        for text in [answer, *(part for part in plan.parts if isinstance(part, str))]:
            new, old = bundled().tag(text), plain.tag(text)
            assert new.sentences.tolist() == old.sentences.tolist()
            assert (new.pos, new.starts.tolist()) == (old.pos, old.starts.tolist())


def test_an_empty_text_has_empty_arrays() -> None:
    tags = bundled().tag("")
    assert (tags.starts.shape, tags.ends.shape, tags.sentences.shape) == ((0,), (0,), (0, 2))
    assert tags.starts.dtype == tags.ends.dtype == tags.sentences.dtype == np.int32
    assert tags.pos == ()


@settings(deadline=None, max_examples=150)
@given(TEXTS, st.sampled_from(list(SPLITTERS)))
def test_words_cover_what_is_visible_and_sentences_hold_whole_words(
    text: str, splitter: str
) -> None:
    tags = replace(bundled(), splitter=splitter).tag(text)
    words = np.stack([tags.starts, tags.ends], axis=1)
    covered = np.zeros(len(text), bool)
    for start, end in words.tolist():
        covered[start:end] = True
    visible = np.array([not char.isspace() for char in text], bool)
    assert covered[visible].all()
    assert not covered[~visible].any()
    assert set(tags.pos) <= set(UNIVERSAL)
    for ranges in (words, tags.sentences):
        flat = ranges.ravel()
        assert (ranges[:, 0] < ranges[:, 1]).all()
        assert (np.diff(flat) >= 0).all()
        assert flat.size == 0 or (flat[0] >= 0 and flat[-1] <= len(text))
    home = np.searchsorted(tags.sentences[:, 0], tags.starts, side="right") - 1
    assert (home >= 0).all()
    assert (tags.ends <= tags.sentences[home, 1]).all()
    for start, end in tags.sentences.tolist():
        assert text[start:end].strip() == text[start:end]
        assert splitter == "markdown" or "\n" not in text[start:end]


def test_tagging_is_deterministic_and_needs_no_context() -> None:
    first = bundled().tag("The cat sat.\nThe dog ran.")
    bundled().tag("Other words come between them.")
    again = bundled().tag("The dog ran.")
    assert again.pos == first.pos[4:]
    assert (again.starts == first.starts[4:] - len("The cat sat.\n")).all()


@pytest.mark.parametrize("splitter", SPLITTERS)
def test_a_very_long_text_is_tagged_in_blocks(splitter: str) -> None:
    nlp = _splitter()
    nlp.max_length = 20_000
    text = "Some words. " * 60_000 + "x" * 190_000 + "(" * 10_000 + " end\n" * 16_000
    assert len(text) == 1_000_000
    tags = Tagger(nlp, "", splitter).tag(text)
    lengths = np.diff(tags.sentences, axis=1)
    assert (lengths[:60_000] == len("Some words.")).all()
    assert (tags.ends - tags.starts).max() <= 256
    assert tags.ends[-1] == len(text) - 1


def test_a_long_line_is_cut_after_a_sentence_or_else_after_white_space() -> None:
    nlp = English()
    nlp.add_pipe("sentencizer", config={"punct_chars": ["#"]})  # so only blocks end sentences
    stops = "a b. " * 5_000
    spaces = "a b " * 6_000
    for text, last in ((stops, "."), (spaces, "ab")):
        pieces = _sentences(text, Tagger(nlp, "", "plain"))
        assert len(pieces) == 2
        assert pieces[0][-1] in last
        assert len(pieces[0]) > 19_990


def test_a_long_word_is_one_sentence_all_the_same() -> None:
    word = "(" * 600 + "x" * 600
    tags = bundled().tag(word)
    assert tags.ends[-1] == 1200
    assert (tags.starts[1:] == tags.ends[:-1]).all()


# Alignment


def _naive(offsets: Int32, tags: Tags) -> tuple[str, ...]:
    """What align_pos says of itself, word by word."""
    found = []
    for start, end in offsets.tolist():
        best, most = "X" if start == end else "SPACE", 0
        for a, b, pos in zip(tags.starts, tags.ends, tags.pos, strict=True):
            shared = sum(a <= char < b for char in range(start, end))
            if shared > most:
                best, most = pos, shared
        found.append(best)
    return tuple(found)


def _ranges(cuts: list[int]) -> Int32:
    return np.array(cuts, np.int32).reshape(-1, 2)


@st.composite
def _words_and_steps(draw: st.DrawFn) -> tuple[Tags, Int32]:
    """Disjoint words, and steps that cover the text one after another, some of them empty."""
    points = st.lists(st.integers(0, 40), max_size=20).map(sorted)
    edges = sorted(set(draw(points)))
    words = _ranges(edges[: len(edges) // 2 * 2])
    pos = draw(st.lists(st.sampled_from(UNIVERSAL), min_size=len(words), max_size=len(words)))
    cuts = draw(points)
    steps = _ranges([point for pair in pairwise(cuts) for point in pair])
    return Tags(words[:, 0], words[:, 1], tuple(pos), _ranges([])), steps


@given(_words_and_steps())
def test_align_pos_equals_the_naive_alignment(case: tuple[Tags, Int32]) -> None:
    tags, steps = case
    assert align_pos(steps, tags) == _naive(steps, tags)


def test_steps_are_aligned_by_visible_characters() -> None:
    tags = bundled().tag("The dog barks.\n")
    steps = {"The": (0, 3), " d": (3, 5), "og": (5, 7), " bark": (7, 12), "s.": (12, 14)}
    extra = {"\n": (14, 15), "<|im_end|>": (15, 15)}
    found = align_pos(_ranges([point for pair in (steps | extra).values() for point in pair]), tags)
    assert found == ("DET", "NOUN", "NOUN", "VERB", "VERB", "SPACE", "X")


def test_no_steps_and_no_words() -> None:
    nothing = bundled().tag("")
    assert align_pos(_ranges([]), nothing) == ()
    assert align_pos(_ranges([0, 0, 0, 2]), nothing) == ("X", "SPACE")


# Loading


def test_the_bundled_tagger_is_small_licensed_and_named() -> None:
    files = [file for file in TAGGER.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 6_000_000
    assert "Attribution-ShareAlike 4.0" in (TAGGER / "LICENSE.txt").read_text("utf-8")
    assert "UD English EWT" in (TAGGER / "ATTRIBUTION.md").read_text("utf-8")
    assert bundled().name == "en_omnitrace_ud_ewt 1.0.0 markdown-1"
    assert load_tagger(splitter="plain").name == "en_omnitrace_ud_ewt 1.0.0"


def test_a_pipeline_of_ones_own_by_path() -> None:
    assert load_tagger(str(TAGGER)).tag("A dog runs.").pos == ("DET", "NOUN", "VERB", "PUNCT")


@pytest.mark.parametrize("name", ["no_such_pipeline", "numpy", ""])
def test_an_unknown_pipeline_is_one_clear_sentence(name: str) -> None:
    with pytest.raises(CommandError, match="no usable spaCy pipeline") as caught:
        load_tagger(name)
    assert f"python -m spacy download {name or 'NAME'} " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pipeline_that_does_not_tag_or_split_is_refused(tmp_path: Path) -> None:
    English().to_disk(tmp_path / "nothing")
    with pytest.raises(CommandError, match="no parts of speech and no sentence boundaries"):
        load_tagger(str(tmp_path / "nothing"))
    _splitter().to_disk(tmp_path / "sentences")
    with pytest.raises(
        CommandError, match=r"gives no parts of speech \(its components: sentencizer"
    ):
        load_tagger(str(tmp_path / "sentences"))


def test_a_damaged_bundled_tagger_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tags_module, "TAGGER", tmp_path)
    with pytest.raises(OmniTraceError, match=r"bundled tagger .* missing or damaged"):
        load_tagger()


def test_without_spacy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(CommandError, match=r"need spacy: pip install 'omnitrace-replay\[tag\]'"):
        load_tagger()
