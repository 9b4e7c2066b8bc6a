"""Tagging a recorded run again: the old tags stay, the new ones are what recording would give."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy

from omnitrace import CommandError, open_run
from omnitrace.cli import main
from omnitrace.store.writer import RunWriter
from recorder.retag import tag
from recorder.tags import align_pos, load_tagger
from replay import PRESETS, Replayer, attribute
from tests.build import make_trace


@pytest.fixture
def run(tmp_path: Path) -> Path:
    with RunWriter.open(tmp_path / "run", {"model": "m"}) as writer:
        for seed, id in enumerate("abc"):
            writer.add(make_trace(id, seed), id)
    return tmp_path / "run"


@pytest.fixture
def shouting(tmp_path: Path) -> str:
    """A pipeline by which everything is an interjection, and a sentence goes on to the end."""
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer", config={"punct_chars": ["~"]})
    ruler: Any = nlp.add_pipe("attribute_ruler")
    ruler.add([[{"IS_SPACE": False}]], {"POS": "INTJ"})
    nlp.meta["name"], nlp.meta["version"] = "Shouting", "2.0"
    nlp.to_disk(tmp_path / "shouting")
    return str(tmp_path / "shouting")


def test_the_bundled_tagger_gives_what_recording_would(run: Path) -> None:
    summary = tag(run)
    assert (summary.total, summary.added, summary.failed) == (3, 3, {})
    trace, tagger = open_run(run)["a"], load_tagger()
    [name] = trace.taggings
    assert re.fullmatch(r"en_omnitrace_ud_ewt-[\d.]+-markdown-\d+", name)
    tags = tagger.tag(trace.response)
    again = trace.tagged(name)
    assert again.pos == align_pos(trace.chars, tags)
    assert np.array_equal(again.sentences, tags.sentences)
    assert [trace.prompt_text[a:b] for a, b in again.prompt_sentences] == [
        "The parcel weighs seven kilos.", "Anna lives in Oslo.", "What is known?",
    ]  # fmt: skip
    assert tag(run).skipped == 3


def test_replays_choose_between_the_tags(run: Path, shouting: str) -> None:
    tag(run, shouting, "loud", splitter="plain")
    trace = open_run(run)["b"]
    assert trace.pos == make_trace("b", 1).pos, "the recorded tags stay"
    assert set(trace.tagged("loud").pos) == {"INTJ"}
    replayer = Replayer(trace)
    recorded = replayer.attribute(PRESETS["paper"])
    loud = replayer.attribute(replace(PRESETS["paper"], tags="loud"))
    assert np.array_equal(loud.mass, attribute(trace, loud.config).mass)
    assert loud.mass.shape != recorded.mass.shape
    assert (len(recorded.spans), len(loud.spans)) == (3, 1)
    texts = [unit for unit in loud.units.id if unit.startswith("text")]
    assert texts == ["text-0", "text-1"], "sentences of the prompt are the pipeline's too"
    assert not np.array_equal(recorded.vote, loud.vote)


def test_plain_sentences_are_tags_of_their_own(tmp_path: Path) -> None:
    text = "# Plan\n\n> Wait.\n"
    with RunWriter.open(tmp_path / "run", {"model": "m"}) as writer:
        steps = [(0, 2), (2, 6), (6, 10), (10, 15)]
        trace = make_trace("a", 0)
        short = replace(
            trace,
            response=text,
            chars=np.array([*steps, *[(15, 16)] * (trace.T - 4)], np.int32),
            sentences=np.array([(0, 15)], np.int32),
        )
        writer.add(short, "a")
    tag(tmp_path / "run")
    tag(tmp_path / "run", splitter="plain")
    found = open_run(tmp_path / "run")["a"]
    assert sorted(found.taggings) == [
        "en_omnitrace_ud_ewt-1.0.0",
        "en_omnitrace_ud_ewt-1.0.0-markdown-1",
    ]
    cut = [[text[a:b] for a, b in found.tagged(name).sentences] for name in sorted(found.taggings)]
    assert cut[1] == ["# Plan", "> Wait."]
    assert cut[0] != cut[1]


def test_a_name_is_of_one_pipeline(run: Path, shouting: str) -> None:
    tag(run, shouting)
    assert set(open_run(run)["a"].taggings) == {"en_shouting-2.0-markdown-1"}
    with pytest.raises(CommandError, match=r"made otherwise: tagger is .*another --name"):
        tag(run, "", "en_shouting-2.0-markdown-1")


def test_the_command(run: Path, shouting: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tag", str(run), "--spacy-model", shouting]) == 0
    assert main(["tag", str(run), "--spacy-model", shouting]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [f"{run}: 3 added.", f"{run}: 0 added, 3 there already."]
    assert main(["tag", str(run), "--spacy-model", "nowhere"]) == 2
    assert main(["tag", str(run / "nowhere")]) == 2
    assert "there is no run at" in capsys.readouterr().err
