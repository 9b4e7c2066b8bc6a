"""Evidence files: what is read, what answer is right, and which tokens a quote is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitrace.errors import CommandError, OmniTraceError, SampleError
from omnitrace.evidence import (
    EvidenceRow,
    QuotedSentence,
    is_right,
    quoted_tokens,
    read_evidence,
    steps_of,
    supported,
    truth,
)
from tests.build import make_trace


@pytest.mark.parametrize(
    ("response", "accepted", "right"),
    [
        ("It was built in BERGEN, in 1967.", ["Bergen"], True),
        ("It costs £4.80 for adults.", ["4.80"], True),
        ("It costs £4.8 for adults.", ["4.80"], False),
        ("There are eighteen.", ["eight"], False),
        ("The cathedral’s roof", ["cathedral's roof"], True),
        ("Of ＡＢＣ", ["abc"], True),
        ("anything", ["", "!"], False),
        ("anything", [], False),
    ],
)
def test_right_answers(response: str, accepted: list[str], right: bool) -> None:
    assert is_right(response, accepted) is right


@given(st.text(), st.text(), st.from_regex(r"\w{1,9}( \w{1,9}){0,2}", fullmatch=True))
def test_an_answer_is_right_whatever_stands_around_it(a: str, b: str, answer: str) -> None:
    assert is_right(f"{a} {answer}. {b}", [answer])


def test_quotes_are_the_tokens_that_they_overlap() -> None:
    trace = make_trace()
    start, end = trace.prompt_sentences[0].tolist()
    quote = trace.prompt_text[start:end]
    held = quoted_tokens(trace, [quote])
    words = "".join(trace.prompt_text[a:b] for a, b in trace.timeline.chars[held].tolist())
    assert words.split() == quote.split()
    for wrong in ("not there", ""):
        with pytest.raises(SampleError, match="0 times, not once"):
            quoted_tokens(trace, [wrong])
    with pytest.raises(SampleError, match="times, not once"):
        quoted_tokens(trace, ["e"])


def test_the_sentences_of_an_answer_and_their_truth() -> None:
    trace = make_trace()
    start, end = trace.prompt_sentences[0].tolist()
    quote = trace.prompt_text[start:end]
    texts = [trace.response[a:b] for a, b in trace.sentences.tolist()]
    given_row = EvidenceRow(trace.id, (QuotedSentence((quote,), texts[-1]),))
    [part] = supported(trace, given_row)
    assert trace.response[part.start : part.end] == texts[-1]
    assert steps_of(trace, part).any()
    own = EvidenceRow(trace.id, (QuotedSentence((quote,)),), (texts[0],))
    assert trace.response[supported(trace, own)[0].start :].startswith(texts[0])
    made = truth(trace, own)
    assert made["answer"] == trace.response
    assert made["sentences"][0]["evidence"] == [{"part": 0, "text": quote}]
    with pytest.raises(SampleError, match="does not hold"):
        supported(trace, EvidenceRow(trace.id, (QuotedSentence((quote,), "never written"),)))
    with pytest.raises(SampleError, match="no sentence"):
        supported(trace, EvidenceRow(trace.id, (QuotedSentence((quote,)),), ("never written",)))


def test_files_are_read_strictly(tmp_path: Path) -> None:
    path = tmp_path / "evidence.jsonl"
    row = {"id": "a", "sentences": [{"text": "Yes.", "evidence": ["It is."]}]}
    path.write_text(json.dumps(row) + "\n\n")
    assert read_evidence(path) == {"a": EvidenceRow("a", (QuotedSentence(("It is.",), "Yes."),))}
    path.write_text(2 * (json.dumps(row) + "\n"))
    with pytest.raises(OmniTraceError, match=r"line 2: sample 'a' is there twice"):
        read_evidence(path)
    path.write_text(json.dumps(row | {"more": 1}))
    with pytest.raises(OmniTraceError, match=r"line 1: .*a line is"):
        read_evidence(path)
    with pytest.raises(CommandError, match="cannot read"):
        read_evidence(tmp_path / "absent.jsonl")
