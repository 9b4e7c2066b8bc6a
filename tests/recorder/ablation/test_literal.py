"""What replay computes from recorded rows equals slow literal passes of the live model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.stats import spearmanr

from omnitrace import Trace, open_run
from omnitrace.cli import main
from recorder.inputs.samples import read_samples
from recorder.models.adapter import Prepared
from recorder.models.qwen_omni import QwenOmni
from recorder.passes.masked import Masked
from recorder.planted.samples import make_sample, write_samples
from replay import PRESETS
from replay.faithfulness import METRICS
from replay.methods import METHODS, AttributionTask
from replay.methods.loo import scores as left_out
from replay.methods.measure import cases_of

SEED = 20_600
NO_REQUEST = replace(
    PRESETS["default"], units=replace(PRESETS["default"].units, request="leave-out")
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text, an audio and a film sample, recorded with 48 ablations each."""
    folder = tmp_path_factory.mktemp("literal")
    write_samples([make_sample(SEED, kind) for kind in ("text", "audio", "video")], folder)
    command = ["record", str(folder / "samples.jsonl"), str(folder / "run"), "--signals", "attmean"]
    assert main([*command, "--first-step", "query", "--ablations", "48"]) == 0
    return folder


class Live:
    """The model, asked one mask at a time: one whole forward pass each, attention masked."""

    def __init__(self, adapter: QwenOmni, prepared: Prepared, trace: Trace) -> None:
        self.adapter, self.prepared, self.trace = adapter, prepared, trace
        self.positions = Masked(adapter, prepared).prompt.positions

    def logprob(self, gone: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        """(T,) log-probabilities without the prompt tokens `gone` (n,)."""
        said = self.trace.response_ids.astype(np.int64)
        every = torch.from_numpy(np.concatenate([self.trace.prompt_ids, said]).astype(np.int64))
        attend = np.concatenate([~gone, np.ones(len(said) - 1, bool)])
        behind = self.positions[:, -1:] + torch.arange(1, len(said))
        given = dict(self.prepared.inputs) | {
            "input_ids": every[None, :-1],
            "attention_mask": torch.from_numpy(attend)[None].long(),
            "position_ids": torch.cat([self.positions, behind], dim=-1)[:, None],
        }
        with torch.no_grad():
            logits = self.adapter.model(**given).logits[0, self.trace.n - 1 :].double()
        found = logits.log_softmax(-1).gather(-1, every[self.trace.n :, None])[:, 0]
        return np.asarray(found.numpy())


@pytest.mark.parametrize("kind", ["text", "audio", "video"])
def test_drops_lds_and_leave_one_out_are_literal(
    kind: str, folder: Path, adapter: QwenOmni
) -> None:
    trace = open_run(folder / "run")[f"{kind}-{SEED}"]
    samples = {sample.id: sample for sample in read_samples(folder / "samples.jsonl")}
    live = Live(adapter, adapter.prepare(samples[trace.id]), trace)
    asked = AttributionTask(trace, NO_REQUEST)
    owner = asked.units.owner_of_tokens(trace.n)
    full = live.logprob(np.zeros(trace.n, bool))
    without = [live.logprob(owner == unit) for unit in range(len(asked.units))]
    lost = np.array([[(full - row)[own].sum() for row in without] for own in asked.steps])
    np.testing.assert_allclose(left_out(asked), lost, atol=2e-3, rtol=1e-3)
    first = trace.ablation("mask")
    for case, row in zip(cases_of(asked, METHODS["signal"]), lost, strict=True):
        best = int(np.argmax(case.scores))
        assert METRICS["drop-1"].value(case) == pytest.approx(row[best], abs=2e-3, rel=1e-3)
        x, y = [], []
        for kept in first.kept[first.held_out & (first.why == 4)]:
            gone = np.isin(first.unit_of, np.flatnonzero(~kept))
            lp = float(live.logprob(gone)[case.counted].sum())
            x.append(lp - np.log(-np.expm1(lp)))
            there = [unit for unit in range(len(asked.units)) if not gone[owner == unit].any()]
            y.append(float(case.scores[there].sum()))
        if len(x) >= 8 and kind != "video":
            assert METRICS["lds"].value(case) == pytest.approx(spearmanr(x, y).statistic, abs=0.02)


def test_the_verb_says_what_was_missing_and_asking_for_it_helps(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, masks = str(folder / "run"), folder / "masks.json"
    command = ["faithful", run, "--units.request", "leave-out", "--metric", "deletion", "--json"]
    assert main([*command, "--ask", str(masks)]) == 0
    said = capsys.readouterr()
    before = json.loads(said.out)
    assert before["schema"] == "omnitrace.faithfulness/1"
    assert before["metrics"]["deletion"]["unanswered"]
    asked = json.loads(masks.read_text())
    assert asked["removed"]
    samples = str(folder / "samples.jsonl")
    assert main(["ablate-inputs", run, "--samples", samples, "--asked", str(masks)]) == 0
    assert main(command) == 0
    after = json.loads(capsys.readouterr().out)["metrics"]["deletion"]
    assert after["unanswered"] == {}
    assert after["spans"] > before["metrics"]["deletion"]["spans"]
    low, high = after["ci"]
    assert low <= after["value"] <= high


def test_the_verb_shows_a_table_and_refuses_what_is_not_there(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(folder / "run")
    assert main(["faithful", run, "--method", "loo", "--sensitive"]) == 0
    said = capsys.readouterr()
    assert "loo, 3 samples" in said.out
    assert "no answer for" in said.err
    for wrong, sentence in (
        (["--method", "lo"], "did you mean 'loo'"),
        (["--metric", "lsd"], "did you mean 'lds'"),
        (["--ablations", "masks"], "has no ablations 'masks': did you mean 'mask'"),
    ):
        assert main(["faithful", run, *wrong]) == 2
        assert sentence in capsys.readouterr().err
