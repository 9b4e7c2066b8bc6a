"""A judge that misbehaves in every way: what is asked again, what is quoted back, what is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omnitrace import Trace
from omnitrace.errors import CommandError, OmniTraceError
from replay.evaluation.labels import Labels, Supports, read_labels, write_labels
from replay.judge import JudgeConfig, Labeller
from replay.judge.client import Server
from replay.judge.labelling import ServerGone, cache_of, open_labels
from tests.build import make_trace
from tests.replay.evaluation.truths import SAID, with_media
from tests.replay.judge.conftest import KEY
from tests.replay.judge.server import Judge, Turn, cuts, drips, hangs, resets, says, sends

Rows = list[dict[str, Any]]


def text_trace(id: str = "sample-0") -> Trace:
    """The small trace with texts alone; other ids of one letter have other texts."""
    trace = with_media(make_trace(id), 0)
    letter = id if len(id) == 1 else "o"
    return replace(trace, prompt_text=trace.prompt_text.replace("Oslo", f"Osl{letter}"))


def legal() -> Rows:
    return [{"text_source": [0]}, {"text_source": []}, {"text_source": [1, 2]}]


GOOD = json.dumps(legal())


def changed(change: Callable[[Rows], Any]) -> str:
    """The good answer with something done to it."""
    rows = legal()
    made = change(rows)
    return json.dumps(rows if made is None else made)


@pytest.fixture
def labeller(judge: Judge, tmp_path: Path) -> Labeller:
    config = JudgeConfig(judge.url, "judge-1", timeout=5, tries=3)
    return Labeller(config, tmp_path / "labels.jsonl", None, Server(config))


def label(labeller: Labeller, *traces: Trace) -> None:
    labeller.label_all({trace.id: trace for trace in traces}, [trace.id for trace in traces])


def lines(labeller: Labeller) -> list[Labels]:
    return list(read_labels(labeller.out).by_id.values())


def test_a_good_answer_is_kept(judge: Judge, labeller: Labeller, waits: list[float]) -> None:
    judge.turns = [says(GOOD)]
    label(labeller, text_trace())
    (row,) = lines(labeller)
    assert (row.id, row.labeller, row.sentences) == ("sample-0", "judge-1", SAID)
    assert [s.lists for s in row.labels] == [
        {"text_source": (0,)}, {"text_source": ()}, {"text_source": (1, 2)},
    ]  # fmt: skip
    assert judge.paths == ["/v1/chat/completions"]
    assert judge.headers[0]["authorization"] == f"Bearer {KEY}"
    assert {k: judge.asked[0][k] for k in ("model", "temperature")} == {
        "model": "judge-1", "temperature": 0.0,
    }  # fmt: skip
    assert (labeller.summary.prompt_tokens, labeller.summary.answer_tokens) == (100, 10)
    assert waits == []


@pytest.mark.parametrize(
    ("turn", "waited"),
    [
        (sends(b"slow down", 429, retry_after="7"), 7.0),
        (sends(b"slow down", 429, retry_after="7000"), 60.0),
        (sends(b"slow down", 429, retry_after="Fri, 31 Dec 1999 23:59:59 GMT"), 1.0),
        (sends(b"{}", 429), 1.0),
        (sends(b"oops", 500), 1.0),
        (sends(b"<html>", 502, content_type="text/html"), 1.0),
        (sends(b"", 503), 1.0),
        (cuts, 1.0),
        (resets, 1.0),
        (sends(b"<html><body>Welcome to our proxy</body></html>", content_type="text/html"), 1.0),
        (sends(b""), 1.0),
        (sends(b"null"), 1.0),
        (sends(b'{"choices": []}'), 1.0),
        (sends(b'{"choices": [{"message": "hello"}]}'), 1.0),
        (sends(b'{"error": {"message": "overloaded"}}'), 1.0),
        (sends('{"choices": [{"message": {"content": "é"}}]}'.encode("latin-1")), 1.0),
        (sends(b'{"choices": [{"message": {"content": "\\ud800"}}]}'), 1.0),
        (sends(b" " * (2**24 + 1)), 1.0),
    ],
)
def test_a_failure_that_may_pass_is_waited_for(
    judge: Judge, labeller: Labeller, waits: list[float], turn: Turn, waited: float
) -> None:
    judge.turns = [turn, says(GOOD)]
    label(labeller, text_trace())
    assert len(lines(labeller)) == 1
    assert waits == [waited]
    assert judge.asked[0] == judge.asked[1]


@pytest.mark.parametrize("how", [hangs, drips])
def test_an_answer_that_does_not_come_or_does_not_end(
    judge: Judge, labeller: Labeller, how: Callable[[Judge], Turn]
) -> None:
    judge.turns = [how(judge), says(GOOD)]
    config = replace(labeller.config, timeout=0.2)
    hurried = replace(labeller, config=config, server=Server(config))
    label(hurried, text_trace())
    assert len(lines(hurried)) == 1
    assert len(judge.asked) == 2


@pytest.mark.parametrize(
    ("answer", "violation"),
    [
        (f"```json\n{GOOD}\n```", "not the JSON that was asked for"),
        (f"Here you are: {GOOD}", "not the JSON that was asked for"),
        (GOOD + " I hope this helps!", "not the JSON that was asked for"),
        (GOOD[:-1], "not the JSON that was asked for"),
        ('{"labels": []}', "Expected `array`, got `object`"),
        ("", "not the JSON"),
        (changed(lambda r: r[:2]), "there are 2 entries of labels; the response has 3 sentences"),
        (changed(lambda r: [*r, r[0]]), "there are 4 entries"),
        (changed(lambda r: r[0].update(text_source=[7])), "text_source has the id 7; ids go from"),
        (changed(lambda r: r[0].update(text_source=[-1])), "has the id -1"),
        (changed(lambda r: r[0].update(text_source=[0.0])), "Expected `int`, got `float`"),
        (changed(lambda r: r[0].update(text_source=["0"])), "Expected `int`, got `str`"),
        (changed(lambda r: r[0].update(text_source=0)), "Expected `array`, got `int`"),
        (changed(lambda r: r[0].update(text_source=None)), "got `null`"),
        (changed(lambda r: r[0].update(text_source=[1, 1])), "ids must ascend, each once"),
        (changed(lambda r: r[0].update(text_source=[2, 1])), "ids must ascend, each once"),
        (changed(lambda r: r[0].update(why="because")), "unknown field `why`"),
        (changed(lambda r: r[0].clear()), "object 0 has the keys none"),
        (changed(lambda r: r[1].update(image_source=[])), "object 1 has the keys text_source, im"),
        ("[" * 100_000, "not the JSON that was asked for"),
        ("x" * 10**6, "not the JSON that was asked for"),
    ],
)
def test_an_answer_that_is_not_legal_is_quoted_back(
    judge: Judge, labeller: Labeller, answer: str, violation: str, waits: list[float]
) -> None:
    judge.turns = [says(answer), says(GOOD)]
    label(labeller, text_trace())
    assert len(lines(labeller)) == 1
    first, second = (asked["messages"] for asked in judge.asked)
    assert second[: len(first)] == first
    quoted, told = second[len(first) :]
    assert quoted["role"] == "assistant"
    assert quoted["content"] == (answer[:4000] or "(nothing)")
    assert violation in told["content"]
    assert "for all 3 sentences" in told["content"]
    assert waits == []


@pytest.mark.parametrize(
    ("spans", "violation"),
    [
        ([[0, 2], [1, 3]], "spans must be in order and apart"),
        ([[2, 3], [0, 1]], "spans must be in order and apart"),
        ([[0, 99]], "span from 0 to 99 s; spans must have 0 <= start < end <= 3"),
        ([[1, 1]], "span from 1 to 1 s"),
        ([[0, 1, 2]], "a span is [start, end]"),
        ([["0:01", "0:02"]], "Expected `float`, got `str`"),
        ([0, 2], "Expected `array`, got `int`"),
    ],
)
def test_spans_that_are_not_legal(
    judge: Judge, labeller: Labeller, spans: Any, violation: str
) -> None:
    rows: Rows = [{"text_source": [], "image_source": [], "audio_source": []} for _ in SAID]
    good = json.dumps(rows)
    rows[2]["audio_source"] = spans
    judge.turns = [says(json.dumps(rows)), says(good)]
    label(labeller, with_media(make_trace(), 2))
    assert len(lines(labeller)) == 1
    assert violation in judge.asked[1]["messages"][-1]["content"]


def test_a_refusal_is_an_answer_that_is_not_legal(judge: Judge, labeller: Labeller) -> None:
    judge.turns = [says(None, refusal="I cannot help with that."), says(None), says(GOOD)]
    label(labeller, text_trace())
    assert len(lines(labeller)) == 1
    assert "refused (I cannot help" in judge.asked[1]["messages"][-1]["content"]
    assert "it was refused" in judge.asked[2]["messages"][-1]["content"]
    # Only the last illegal answer is quoted: the talk does not grow.
    assert len(judge.asked[2]["messages"]) == len(judge.asked[1]["messages"])


def test_a_sample_that_never_gets_a_legal_answer_fails_alone(
    judge: Judge, labeller: Labeller
) -> None:
    judge.turns = [says("no")] * 3 + [says(GOOD)]
    label(labeller, text_trace("a"), text_trace("b"))
    assert [row.id for row in lines(labeller)] == ["b"]
    assert labeller.summary.failed["a"].startswith("no legal answer in 3 tries; last: it is not")
    assert labeller.summary.done == 1


def test_a_request_that_the_server_will_not_take_fails_alone(
    judge: Judge, labeller: Labeller, waits: list[float]
) -> None:
    judge.turns = [sends(b'{"error": {"message": "too long, \\u001b[31m"}}', 400), says(GOOD)]
    label(labeller, text_trace("a"), text_trace("b"))
    assert "says 400" in labeller.summary.failed["a"]
    assert [row.id for row in lines(labeller)] == ["b"]
    assert waits == []


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_key_model_or_address_ends_it_and_is_not_said(
    judge: Judge, labeller: Labeller, status: int
) -> None:
    judge.turns = [sends(f'{{"error": {{"message": "Incorrect key {KEY}"}}}}'.encode(), status)]
    with pytest.raises(
        CommandError, match=r"Check --base-url, --model and the key in OPENAI_API_KEY"
    ) as e:
        label(labeller, text_trace())
    assert f"says {status} to model 'judge-1'" in str(e.value)
    assert KEY not in str(e.value)
    assert len(judge.asked) == 1


def test_a_server_that_is_gone_is_not_asked_for_ever(
    judge: Judge, labeller: Labeller, waits: list[float]
) -> None:
    judge.turns = [says(GOOD), sends(b"", 500)]
    label(labeller, text_trace("a"))
    label(labeller, text_trace("b"), text_trace("c"))
    assert waits == [1.0, 2.0] * 2
    with pytest.raises(
        ServerGone, match=r"500, 3 times, for 3 samples on end.*labels\.jsonl"
    ) as error:
        label(labeller, text_trace("d"), text_trace("e"))
    assert error.value.exit_code == 1
    assert "d" not in labeller.summary.failed
    assert [row.id for row in lines(labeller)] == ["a"]


def test_nobody_listens(judge: Judge, tmp_path: Path) -> None:
    config = JudgeConfig("http://name:pass@127.0.0.1:9/v1?key=x", "judge-1", tries=1)
    labeller = Labeller(config, tmp_path / "labels.jsonl", None, Server(config))
    label(labeller, text_trace())
    message = labeller.summary.failed["sample-0"]
    assert message.startswith("http://127.0.0.1:9/v1 cannot be reached")
    assert "pass" not in message


def test_asking_the_same_again_is_free(judge: Judge, labeller: Labeller) -> None:
    judge.turns = [says(GOOD)]
    label(labeller, text_trace())
    labeller.out.unlink()
    label(labeller, text_trace())
    assert len(judge.asked) == 1
    assert labeller.summary.cached == 1
    assert [row.id for row in lines(labeller)] == ["sample-0"]
    (kept,) = cache_of(labeller.out).iterdir()
    assert KEY not in kept.read_text()
    for broken in (b"", b"{", b"\xff"):
        kept.write_bytes(broken)
        labeller.out.unlink()
        label(labeller, text_trace())
        assert lines(labeller)
    assert len(judge.asked) == 4
    other = replace(labeller, config=replace(labeller.config, model="judge-2"))
    label(other, text_trace("sample-1"))
    assert len(judge.asked) == 5


def test_resuming_mends_a_torn_line(tmp_path: Path) -> None:
    config, out = JudgeConfig("http://127.0.0.1:9/v1", "judge-1"), tmp_path / "labels.jsonl"
    assert open_labels(out, config).by_id == {}
    write_labels(out, [Labels(id, (Supports(),), labeller="judge-1") for id in ("a", "ü")])
    whole = out.read_bytes()
    for cut in range(len(whole)):
        out.write_bytes(whole[:cut])
        rows = open_labels(out, config)
        assert list(rows.by_id) == ["a", "ü"][: whole[: cut + 1].count(b"\n")]
        assert out.read_bytes() in (b"", whole[: whole.index(b"\n") + 1], whole)
    with pytest.raises(CommandError, match=r"line 1: labels by 'judge-1', not by 'judge-2'"):
        open_labels(out, replace(config, model="judge-2"))
    out.write_text("no labels\n")
    with pytest.raises(OmniTraceError, match="line 1"):
        open_labels(out, config)


def test_keys(monkeypatch: pytest.MonkeyPatch, judge: Judge, tmp_path: Path) -> None:
    judge.turns = [says(GOOD)]
    monkeypatch.setenv("MINE", "  sk-mine\n")
    for name, sent in (("MINE", "Bearer sk-mine"), ("NOT_SET", "Bearer none")):
        config = JudgeConfig(judge.url, "judge-1", api_key_env=name)
        label(Labeller(config, tmp_path / f"{name}.jsonl", None, Server(config)), text_trace())
        assert judge.headers[-1]["authorization"] == sent
    monkeypatch.setenv("MINE", "sk-\n-ü")
    with pytest.raises(CommandError, match="the key in MINE has characters that no key has") as e:
        Server(JudgeConfig(judge.url, "judge-1", api_key_env="MINE"))
    assert "sk-" not in str(e.value)


@pytest.mark.parametrize(
    ("over", "says"),
    [
        ({"base_url": "api.example"}, "--base-url api.example must begin with http"),
        ({"temperature": 3}, "--temperature 3 is not legal"),
        ({"timeout": 0}, "--timeout 0"),
        ({"tries": 0}, "--tries 0"),
        ({"frames": 0}, "--frames 0"),
    ],
)
def test_values_that_are_not_legal(over: dict[str, Any], says: str) -> None:
    with pytest.raises(CommandError, match=says):
        JudgeConfig(**{"base_url": "http://127.0.0.1/v1", "model": "m", **over})


def test_a_sample_about_which_there_is_nothing_to_ask(labeller: Labeller) -> None:
    trace = text_trace()
    label(labeller, replace(trace, sentences=trace.sentences[:0]))
    assert "nothing to ask" in labeller.summary.failed["sample-0"]
