"""Sources that are removed one at a time: by a verb, with a recording, again, stopped, wrongly."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnitrace import Trace, open_run
from omnitrace.ablations import Row
from omnitrace.cli import main
from recorder.inputs.samples import read_samples
from recorder.models.qwen_omni import QwenOmni
from recorder.passes.masked import Masked
from recorder.planted.samples import make_sample, write_samples
from replay import PRESETS, attribute
from replay.confirm import ranked, units_to_remove
from replay.faithfulness import span_log_odds
from replay.mapping import visible_steps

SEED = 20_700
KINDS = ("text", "audio", "mixed")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Samples, and a run of them without ablations."""
    folder = tmp_path_factory.mktemp("confirmed")
    write_samples([make_sample(SEED, kind) for kind in KINDS], folder)
    command = ["record", str(folder / "samples.jsonl"), str(folder / "run"), "--signals", "attmean"]
    assert main([*command, "--first-step", "query"]) == 0
    return folder


@pytest.fixture
def folder(recorded: Path, tmp_path: Path) -> Path:
    """A copy of it, to change."""
    return Path(shutil.copytree(recorded, tmp_path / "copy"))


def confirm(folder: Path, *more: str, samples: str = "samples.jsonl") -> int:
    return main(["confirm", str(folder / "run"), "--samples", str(folder / samples), *more])


def replayed(folder: Path, capsys: pytest.CaptureFixture[str], *more: str) -> list[Any]:
    """The samples of `omnitrace replay --json`."""
    capsys.readouterr()
    assert main(["replay", str(folder / "run"), "--json", *more]) == 0
    samples: list[Any] = json.loads(capsys.readouterr().out)["samples"]
    return samples


def literal_effect(
    adapter: QwenOmni, folder: Path, trace: Trace, unit: int, steps: tuple[int, int]
) -> float:
    """By how much the span's log-odds fall without one unit, by two passes of the live model."""
    samples = {sample.id: sample for sample in read_samples(folder / "samples.jsonl")}
    owner = trace.units(PRESETS["default"].units).owner_of_tokens(trace.n)
    seen = np.stack([np.ones(trace.n, bool), owner != unit])
    odds = Masked(adapter, adapter.prepare(samples[trace.id])).log_odds(trace.response_ids, seen)
    logprob = np.where(visible_steps(trace), -np.logaddexp(0, -odds.astype(np.float64)), 0.0)
    full, without = span_log_odds(logprob[:, slice(*steps)])
    return float(full - without)


def test_the_best_units_of_each_span_are_removed_once(
    folder: Path, adapter: QwenOmni, capsys: pytest.CaptureFixture[str]
) -> None:
    assert confirm(folder, "--top", "2") == 0
    run = open_run(folder / "run")
    [added] = run.additions
    assert (added.kind, added.name, len(added.samples)) == ("ablations", "confirm", len(KINDS))
    for sample in replayed(folder, capsys):
        trace = run[sample["id"]]
        found, rows = attribute(trace), trace.ablation("confirm")
        assert rows.why.tolist() == [Row.FULL] + [Row.WITHOUT_UNIT] * (len(rows.why) - 1)
        best = {unit for span in found.spans for unit in ranked(found, span)[:2]}
        gone = [np.flatnonzero(~kept).tolist() for kept in rows.kept[1:]]
        assert gone == [[unit] for unit in sorted(best)]
        for shown, span in zip(sample["spans"], found.spans, strict=True):
            for source, judged in zip(span.sources, shown["sources"], strict=True):
                if source.unit in best:
                    effect = literal_effect(adapter, folder, trace, source.unit, span.steps)
                    assert judged["effect"] == pytest.approx(effect, abs=2e-3, rel=1e-3)
                    assert judged["cause"] == ("caused" if effect >= 1 else "not needed")
                else:
                    assert judged["cause"] == "untested"
                    assert "effect" not in judged


def test_running_again_skips_what_is_done_and_more_units_are_added_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert confirm(folder, "--top", "1") == 0
    files = sorted((folder / "run" / "additions").iterdir())
    assert confirm(folder, "--top", "1", "--confirmed", "only", "--cause-nats", "2") == 0
    assert f"{len(KINDS)} there already" in capsys.readouterr().err
    assert sorted((folder / "run" / "additions").iterdir()) == files
    assert confirm(folder, "--top", "3", "--preset", "paper", "--name", "paper") == 0
    assert confirm(folder, "--top", "2") == 0
    for trace in open_run(folder / "run").values():
        assert set(trace.ablations) == {"confirm", "paper", "confirm-2"}
        first, second = (trace.ablation(name) for name in ("confirm", "confirm-2"))
        removed = {row.tobytes() for row in first.kept[1:]}
        assert not removed & {row.tobytes() for row in second.kept[1:]}
        assert units_to_remove(trace, PRESETS["default"], 2).removed == ()


def test_a_recording_confirms_its_sources(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "new"
    command = ["record", str(folder / "samples.jsonl"), str(run), "--signals", "attmean"]
    assert main([*command, "--first-step", "query", "--confirm", "2"]) == 0
    assert f"{len(KINDS)} ablated" in capsys.readouterr().err
    assert confirm(folder, "--top", "2") == 0
    for id, trace in open_run(run).items():
        later = open_run(folder / "run")[id].ablation("confirm")
        assert np.array_equal(trace.ablation("confirm").kept, later.kept)
        np.testing.assert_allclose(trace.ablation("confirm").log_odds, later.log_odds, atol=1e-3)
    about = [next(iter(open_run(one).additions)).about for one in (run, folder / "run")]
    assert about[0] == about[1], "both go on with one another"


def test_a_bad_sample_costs_nothing_and_some_samples_can_be_chosen(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = list(open_run(folder / "run"))
    lines = (folder / "samples.jsonl").read_text().splitlines()
    (folder / "fewer.jsonl").write_text("\n".join(lines[1:]))
    assert confirm(folder, "--top", "1", "--limit", "2", samples="fewer.jsonl") == 1
    message = capsys.readouterr().err
    assert "1 added, 1 failed" in message
    assert f"'{ids[0]}'" in message
    assert "has no such sample" in message
    assert confirm(folder, "--top", "1", "--ids", f"{ids[0]},{ids[2]}") == 0
    assert open_run(folder / "run").additions.find("ablations", "confirm").samples == {*ids}  # type: ignore[union-attr]
    assert confirm(folder, "--ids", "nobody") == 2
    assert "has no sample 'nobody'" in capsys.readouterr().err


def test_what_is_finished_before_ctrl_c_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log_odds, passed = Masked.log_odds, list[int]()

    def stopped(self: Masked, *args: Any, **given: Any) -> Any:
        passed.append(len(passed))
        if len(passed) == 2:
            raise KeyboardInterrupt
        return log_odds(self, *args, **given)

    monkeypatch.setattr(Masked, "log_odds", stopped)
    assert confirm(folder, "--top", "1") == 130
    assert len(next(iter(open_run(folder / "run").additions)).samples) == 1
    capsys.readouterr()
    assert confirm(folder, "--top", "1") == 0
    assert "2 added, 1 there already" in capsys.readouterr().err


def test_what_takes_long_is_written_as_it_comes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recorder.adding.LONGEST_UNWRITTEN", 0.0)
    there: list[int] = []
    log_odds, additions = Masked.log_odds, folder / "run" / "additions"

    def counted(self: Masked, *args: Any, **given: Any) -> Any:
        there.append(len(list(additions.glob("*.json"))))
        return log_odds(self, *args, **given)

    monkeypatch.setattr(Masked, "log_odds", counted)
    assert confirm(folder, "--top", "1") == 0
    assert there == [0, 1, 2], "a process that is killed loses only the sample it is at"
    assert len(list(additions.glob("*.json"))) == 3


def test_redacted_runs_are_refused_at_once(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["record", str(folder / "samples.jsonl"), str(tmp_path / "bare"), "--redact-text"]
    for more in (["--ablations", "8"], ["--confirm", "2"]):
        assert main([*command, *more]) == 2
        assert "keeps no token ids" in capsys.readouterr().err
    assert not (tmp_path / "bare").exists()
    assert main([*command, "--signals", "attmean", "--limit", "1"]) == 0
    samples = ["--samples", str(folder / "samples.jsonl")]
    for verb in ("confirm", "ablate-inputs"):
        assert main([verb, str(tmp_path / "bare"), *samples]) == 2
        assert "keeps no token ids" in capsys.readouterr().err
