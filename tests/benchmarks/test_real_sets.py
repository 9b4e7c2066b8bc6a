"""The sets of evidence: complete, quoted exactly, split without a passage on both sides."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.real_sets import NEEDLES, SETS, SIDES, Item, items, quote, sides, write
from omnitrace.evidence import is_right, read_evidence
from recorder.inputs.responses import read_responses
from recorder.inputs.samples import read_samples

ITEMS = items()


def test_there_are_enough_of_each() -> None:
    counts = Counter(item.set for item in ITEMS)
    assert list(counts) == list(SETS)
    assert min(counts.values()) >= 20
    assert len({item.id for item in ITEMS}) == len(ITEMS) >= 200


def test_quotes_are_there_exactly_once() -> None:
    for item in ITEMS:
        texts = [message["content"] for message in item.messages]
        for _, quotes in item.sentences:
            assert quotes
            for one in quotes:
                assert sum(text.count(one) for text in texts) == 1, (item.id, one)


def test_answers_that_are_accepted_stand_in_their_evidence() -> None:
    for item in ITEMS:
        for _, quotes in item.sentences:
            if item.accepted and "once a year" not in item.accepted:
                assert is_right(" ".join(quotes), item.accepted), item.id
        if item.accepted:
            examples = " ".join(message["content"] for message in item.messages[:-1])
            assert not is_right(examples, item.accepted), item.id


def test_what_shares_a_passage_is_on_one_side() -> None:
    side = sides(ITEMS)
    of_group: dict[str, set[str]] = {}
    for item in ITEMS:
        of_group.setdefault(item.group, set()).add(side[item.id])
    assert all(len(found) == 1 for found in of_group.values())
    for name in SETS:
        own = Counter(side[item.id] for item in ITEMS if item.set == name)
        assert min(own[one] for one in SIDES) >= 0.4 * own.total()


def test_paraphrases_share_few_words_and_literal_answers_many() -> None:
    assert _shared("paraphrased") < 0.08
    assert _shared("literal") > 0.6


def _shared(name: str) -> float:
    """The share of the longer words of the answers of a set that their evidence has too."""
    words = [pair for item in ITEMS if item.set == name for pair in _words(item)]
    return sum(word in evidence for word, evidence in words) / len(words)


def _words(item: Item) -> list[tuple[str, set[str]]]:
    return [
        (word, set(re.findall(r"\w{4,}", " ".join(quotes).casefold())))
        for text, quotes in item.sentences
        for word in re.findall(r"\w{4,}", text.casefold())
    ]


def test_needles_lie_at_all_depths_of_prompts_of_all_lengths() -> None:
    depths = set()
    for item in (item for item in ITEMS if item.set == "needle"):
        [(_, [needle])] = item.sentences
        text = item.messages[0]["content"]
        tokens = 1000 * int(item.id.split("-")[1].removesuffix("k"))
        assert 0.75 * tokens < len(text) / 4.1 < tokens  # 4.1 and 4.3 characters a token
        depths.add(round(text.index(needle) / len(text), 1))
    assert {0.1, 0.3, 0.5, 0.7, 0.9} <= depths
    assert Counter(item.set for item in ITEMS)["needle"] == sum(NEEDLES.values())


@pytest.mark.parametrize(
    ("text", "fragment", "found"),
    [
        ("One. Two is\nhere! Three.", "is here", "Two is\nhere!"),
        ("Dr. Who came. It rained.", "Dr. Who", "Dr. Who came."),
        ('"Go!" he said. "Why?" she', "Go", '"Go!"'),
        ("Open from 7 a.m. to 8 p.m. daily. Free.", "daily", "Open from 7 a.m. to 8 p.m. daily."),
        ("Head\n\n- one thing\n- two", "one", "- one thing"),
        ("List\n1. First one.\n2. Next.", "First", "1. First one."),
        ("One. Two. Three.", "Two. Three", "Two. Three."),
    ],
)
def test_a_fragment_stands_for_its_sentence(text: str, fragment: str, found: str) -> None:
    assert quote(text, fragment) == found


def test_a_fragment_that_is_not_there_once_ends_the_command() -> None:
    for fragment in ("b", "z"):
        with pytest.raises(SystemExit, match="times"):
            quote("a b. c b.", fragment)


def test_what_is_written_can_be_read_and_is_the_same_again(tmp_path: Path) -> None:
    write(tmp_path / "one")
    write(tmp_path / "two")
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    for path in files:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()
    side = json.loads((tmp_path / "one" / "sides.json").read_text())
    assert set(side) == {item.id for item in ITEMS}
    for name in SETS:
        folder = tmp_path / "one" / name
        ids = [sample.id for sample in read_samples(folder / "samples.jsonl")]
        assert ids == list(read_evidence(folder / "evidence.jsonl"))
        if name != "own":
            given = read_responses(folder / "responses.jsonl", ids)
            rows = read_evidence(folder / "evidence.jsonl")
            for id in ids:
                assert given[id].text == " ".join(s.text for s in rows[id].sentences)
