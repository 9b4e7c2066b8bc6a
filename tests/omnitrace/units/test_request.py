"""The request is the last question or instruction of the last user message."""

from __future__ import annotations

import re
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.real_sets import DATA, PROMPTS
from omnitrace.sentences import containing
from omnitrace.trace import Trace
from omnitrace.units.request import request_tokens
from omnitrace.units.text import places, text_tokens
from recorder.planted.samples import KINDS, make_plan
from recorder.tags import Tagger, load_tagger, prompt_sentences
from tests.omnitrace.units.test_text import chat


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    return load_tagger(None)


def message(*texts: str | None, before: tuple[tuple[str, str], ...] = ()) -> Trace:
    """A user message of these parts after others, None for an image; `|` ends a sentence."""
    marked = [text and re.sub(r"\|(?=\S)", " |", text) for text in texts]  # a token a word
    parts = [*before, *(("user", text) for text in marked)]
    trace = chat(*((role, text and text.replace("|", "")) for role, text in parts))
    found, start = [], 0
    for _, text in parts:
        for piece in (text or "").split("|"):
            blank = len(piece) - len(piece.lstrip())
            if piece.strip():
                found.append((start + blank, start + len(piece.rstrip())))
            start += len(piece)
    return replace(trace, prompt_sentences=np.array(found, np.int32).reshape(-1, 2))


def request_of(trace: Trace) -> list[str]:
    """The sentences of the request."""
    sentence = containing(places(trace), trace.prompt_sentences)
    spans = trace.prompt_sentences[np.unique(sentence[request_tokens(trace)])].tolist()
    return [trace.prompt_text[start:end] for start, end in spans]


FACTS = "It is red.| Is it not lovely?| Tell everybody.| It was made in 1920."
CASES: dict[str, tuple[Trace, list[str]]] = {
    "a question behind a text that asks": (
        message(f"{FACTS}\n\n|Question: When was it made?"),
        ["Question: When was it made?"],
    ),
    "in the same line": (message(f"{FACTS}| When was it made?"), ["When was it made?"]),
    "several, one in a line": (
        message(f"{FACTS}\n|1. What is red?\n|2. When was it made?"),
        ["1. What is red?", "2. When was it made?"],
    ),
    "several in a line, but not the text's own end": (
        message("It is red.| Is it not?\n\n|When was it made?| Say why."),
        ["When was it made?", "Say why."],
    ),
    "behind a text that ends by asking, in a line of its own, by its label": (
        message("It is red.\n|Can you send it?\n\n|Question: What is red?"),
        ["Question: What is red?"],
    ),
    "by a label in a line of its own": (
        message("It is red.\n|Can you send it?\n\n|Question:\n|What is red?"),
        ["Question:", "What is red?"],
    ),
    "a question with a sentence about the form": (
        message(f"{FACTS}| What is red?\n\n|Answer in one sentence."),
        ["What is red?", "Answer in one sentence."],
    ),
    "of two at the end of a text the last": (
        message("It is red?| Yes.| What is red?| Be brief."),
        ["What is red?", "Be brief."],
    ),
    "the question before options": (
        message(f"{FACTS}\n\n|Which is red?\n|A. the ring\n|B. the box"),
        ["Which is red?"],
    ),
    "options in parts of their own": (
        message("Which is red?", "\nA. the ring.| It rings.", "\n(B) a box?", "\nChoose one."),
        ["Which is red?", "Choose one."],
    ),
    "options in the line": (message("It is red.| Which is? |(A) a ring |(B) a box"), ["Which is?"]),
    "a question before a text": (message(f"When was it made?\n\n|{FACTS}"), ["When was it made?"]),
    "an instruction before a text": (
        message("Summarise this text:\n|It is red.| It was made in 1920."),
        ["Summarise this text:"],
    ),
    "an instruction before a text that ends by asking": (
        message("Summarise the following text:\n|It is red.| Is it not lovely?"),
        ["Summarise the following text:"],
    ),
    "an instruction behind an introduction": (
        message("You are an expert.| Sum up the text below.\n\n|It is red.| It is old."),
        ["Sum up the text below."],
    ),
    "instructions at either end": (
        message(f"Answer the question below.\n\n|{FACTS}\n\n|What is red?"),
        ["Answer the question below.", "What is red?"],
    ),
    "the same question at either end": (
        message(f"What is red?\n\n|{FACTS}\n\n|What is red?"),
        ["What is red?", "What is red?"],
    ),
    "but no other question at the beginning, such as a title": (
        message(f"Where is Iguazu?\n\n|{FACTS}\n\n|What is red?"),
        ["What is red?"],
    ),
    "a list that is to be summed up": (
        message("Sort these:\n|- a ring\n|- a box"), ["Sort these:"],
    ),
    "with the word that announces the answer": (
        message(f"{FACTS}\n|Q: What is red?\n|A:"), ["Q: What is red?", "A:"],
    ),
    "among media": (message("Look:", None, " and ", None, "What is it?"), ["What is it?"]),
    "in the last part that asks": (message("Why?", None, "It is red.", "Who?", "Er?"), ["Er?"]),
    "numbered, in paragraphs of their own": (
        message("It is red.\n\n|1. What is it?\n\n|2. Why?"), ["1. What is it?", "2. Why?"],
    ),
    "an introduction, and words at the end of the text": (
        message("What is red?| Use this text:\n\n|It is red.| Thanks"),
        ["What is red?", "Use this text:"],
    ),
    "an introduction to a text that only asks": (
        message("What is red?| Use this text:\n\n|What to do?| Any idea?"),
        ["What is red?", "Use this text:"],
    ),
    "no text that only asks": (
        message("What to do?| Any idea?\n\n|What is red?"), ["What is red?"],
    ),
    "before a medium": (message("Sum it up.", None), ["Sum it up."]),
    "before a medium and a text": (message("Sum it up.", None, "It is red."), ["Sum it up."]),
    "of the last turn": (
        message("And why?", before=(("user", f"{FACTS}| What is red?"), ("assistant", "It."))),
        ["And why?"],
    ),
    "none where the last turn does not ask": (
        message("The red one.", before=(("user", "It is red.| Which?"), ("assistant", "Eh?"))),
        [],
    ),
    "in other scripts": (message("它是红色的。|什么是红色的？"), ["什么是红色的？"]),
    "from right to left": (message("هو أحمر.| ما هو الأحمر؟"), ["ما هو الأحمر؟"]),
    "in Spanish": (message("Es rojo.| ¿Qué es rojo?"), ["¿Qué es rojo?"]),
    "in Chinese without a question": (message("它是红色的。\n|请总结。"), ["请总结。"]),
    "with Markdown": (message("It is red.\n\n|**What is red?**"), ["**What is red?**"]),
    "in polite words": (
        message("It is red.\n|In one sentence, could you please explain the colour."),
        ["In one sentence, could you please explain the colour."],
    ),
    "in quotes": (message("It is red.| “What is red?”"), ["“What is red?”"]),
    "no noun that begins like an instruction": (message("It is red.| Use of it is rare."), []),
    "nothing where nothing asks": (message("It is red.", "It is old."), []),
    "nothing in an empty message": (message(""), []),
    "nothing without a user": (chat(("system", "Why?")), []),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_request_is(name: str) -> None:
    trace, wanted = CASES[name]
    assert request_of(trace) == wanted


TEXTS = st.lists(
    st.sampled_from(["It is red.", "Is it not?", "Tell everybody.", "- a ring", "It is old.\n"]),
    min_size=1,
    max_size=8,
).map("| ".join)


@given(TEXTS, st.sampled_from(["\n", "\n\n"]))
def test_of_a_text_before_a_labelled_question_nothing_is_taken(text: str, between: str) -> None:
    asked = "Question: What is red?"
    assert request_of(message(f"It was made.| {text}{between}|{asked}")) == [asked]


@given(TEXTS, TEXTS)
def test_earlier_turns_change_nothing(text: str, earlier: str) -> None:
    alone = message(text)
    later = message(text, before=(("user", earlier), ("assistant", earlier)))
    assert request_of(later) == request_of(alone)
    assert not request_tokens(later)[: later.n - alone.n].any()


@given(st.lists(st.one_of(st.none(), TEXTS), min_size=1, max_size=4))
def test_it_consists_of_whole_sentences_that_ask(texts: list[str | None]) -> None:
    trace = message(*texts)
    found = request_tokens(trace)
    sentence = containing(places(trace), trace.prompt_sentences)
    chosen = np.unique(sentence[found])
    words = text_tokens(trace) & (sentence >= 0)
    assert np.array_equal(found, np.isin(sentence, chosen) & words)
    assert set(request_of(trace)) <= {"Is it not?", "Tell everybody."}


def test_of_planted_samples_it_is_the_last_part(tagger: Tagger) -> None:
    for kind in KINDS:
        for seed in range(8):
            parts = make_plan(seed, kind).parts
            trace = chat(*(("user", part if isinstance(part, str) else None) for part in parts))
            own = prompt_sentences(trace.prompt_text, trace.timeline, tagger)
            trace = replace(trace, prompt_sentences=own)
            words = np.array(
                [bool(trace.prompt_text[a:b].strip()) for a, b in trace.timeline.chars]
            )
            last = trace.timeline.part == len(parts) - 1
            assert np.array_equal(request_tokens(trace), last & words)


@pytest.mark.parametrize("form", PROMPTS)
def test_of_questions_about_real_texts_no_sentence_of_the_text_is_taken(
    form: str, tagger: Tagger
) -> None:
    """The passages, of which 27 sentences are questions or begin like instructions."""
    for line in (DATA / "ewt_questions.jsonl").read_text("utf-8").splitlines():
        row = msgspec.json.decode(line)
        whole = form.format(text=row["text"], question=row["question"])
        trace = chat(("user", whole))
        own = prompt_sentences(trace.prompt_text, trace.timeline, tagger)
        trace = replace(trace, prompt_sentences=own)
        found = " ".join(request_of(trace))
        assert row["question"] in found
        others = form.format(text="", question=row["question"]).split()
        assert found.split() == others
