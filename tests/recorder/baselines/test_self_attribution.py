"""Self-attribution: the recorded model asked again; what it is made to say becomes labels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from omnitrace import OmniTraceError, Run
from omnitrace.cli import main
from recorder.baselines import self_attribution
from recorder.baselines.self_attribution import SelfAttribution, put
from recorder.identity import RecordedSamples
from recorder.models.adapter import Adapter
from recorder.models.qwen_omni import QwenOmni
from replay.baselines.answers import question, read_answer
from replay.evaluation.sources import read_golds


@contextmanager
def saying(adapter: Adapter, text: str) -> Iterator[None]:
    """While inside, the model's logits are such that it says `text`, again and again."""
    ids = [*adapter.encode(text), min(adapter.eos_ids)]
    step = 0

    def force(head: Any, args: Any, logits: torch.Tensor) -> torch.Tensor:
        nonlocal step
        logits[:, -1, ids[step % len(ids)]] = logits.max() + 10
        step += 1
        return logits

    hook = adapter.model.get_output_embeddings().register_forward_hook(force)
    try:
        yield
    finally:
        hook.remove()


@pytest.fixture(scope="module")
def asked(adapter: QwenOmni, samples: Path) -> SelfAttribution:
    return SelfAttribution(adapter, RecordedSamples.read(str(samples)), 200)


def test_media_have_their_places(run: Run, asked: SelfAttribution) -> None:
    trace = run["mixed"]
    sample = asked.samples.of(trace)
    [message] = put(question(trace), sample).messages
    kinds = [part.kind for part in message.parts if part.path is not None]
    assert kinds == ["image", "audio", "image"]
    assert [part.path for part in message.parts if part.path is not None] == sample.paths
    words = "".join(part.text for part in message.parts)
    assert words.index("Image 0:") < words.index("Audio 0") < words.index("Image 1:")
    assert words.index("You look for the evidence") < words.index("Texts that the model was given")


def test_an_answer_in_json_becomes_labels(run: Run, asked: SelfAttribution) -> None:
    """GIVEN a model that is made to say JSON THEN what it says is read back, token by token."""
    trace = run["mixed"]
    said = [
        {"text_source": [0], "image_source": [1], "audio_source": [[0, 2]]} for _ in trace.sentences
    ]
    with saying(asked.adapter, json.dumps(said)):
        text = asked.answer(trace, question(trace))
    assert json.loads(text) == said
    answer = read_answer(trace, text, "self")
    assert answer.state == "legal"


def test_a_model_that_was_not_made_to_is_nonsense(run: Run, asked: SelfAttribution) -> None:
    """The bundled model knows nothing but its own sentences."""
    trace = run["plain"]
    text = asked.answer(trace, question(trace))
    assert text == asked.answer(trace, question(trace))
    assert read_answer(trace, text, "self").state == "unreadable"


def test_a_question_that_is_too_long_fails_alone(
    run: Run, asked: SelfAttribution, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace, decoder = run["plain"], asked.adapter.model.config.text_config
    monkeypatch.setattr(decoder, "max_position_embeddings", 500)
    with pytest.raises(OmniTraceError, match=r"the prompt has .* tokens"):
        asked.answer(trace, question(trace))


def test_the_command_reads_what_the_model_says(
    run: Run,
    asked: SelfAttribution,
    samples: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "self.jsonl"
    flags = ["baseline", run.path, str(out), "--method", "self", "--samples", str(samples)]
    monkeypatch.setattr(self_attribution, "load", lambda identity, config: asked)
    with saying(asked.adapter, 'Surely: [{"text_source": [0, 7]}]'):
        assert main(flags) == 0
    assert "2 samples, 2 answers mended" in capsys.readouterr().err
    golds = read_golds(out)
    for id in ("mixed", "plain"):
        true = golds.gold(run[id]).true
        assert true[0].tolist() == [label == 0 for label in range(len(true[0]))]
        assert not true[1:].any()
    assert main([*flags, "--threshold", "0.5"]) == 2
    assert "there is no threshold to choose" in capsys.readouterr().err
