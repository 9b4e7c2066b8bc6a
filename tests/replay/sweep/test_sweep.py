"""Sweeps: what is chosen on which samples, what is reported, in one process as in two."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.trace import Trace
from replay import PRESETS, CurationConfig, ReplayConfig, attribute
from replay.config import UPOS
from replay.evaluation import evaluate
from replay.sweep.ablation import ROWS, ablate, ablated
from replay.sweep.blocks import Work, blocks_of
from replay.sweep.sweep import BEST, Aim, split, sweep
from replay.sweep.table import check_suffix, rows, write_rows
from tests.build import make_trace
from tests.replay.sweep.golds import Seeded

PAPER = PRESETS["paper"]
CONFIGS = tuple(
    replace(PAPER, signal=signal, curation=CurationConfig(gamma=gamma, coverage=coverage))
    for signal in ("attmean", "rawatt")
    for gamma in (0.0, 1.0, 2.0)
    for coverage in (0.3, 0.85)
)


class Damaged(dict[str, Trace]):
    """Samples of which one cannot be read."""

    def __getitem__(self, id: str) -> Trace:
        if id == "3":
            raise OmniTraceError("sample '3' cannot be read")
        return super().__getitem__(id)


def samples(count: int = 40) -> dict[str, Trace]:
    return {str(seed): make_trace(str(seed), seed) for seed in range(count)}


def work(traces: Mapping[str, Trace], configs: tuple[ReplayConfig, ...] = CONFIGS) -> Work:
    return Work(traces, Seeded(), configs)


ALONE = Aim(jobs=1)


def test_scores_are_those_of_evaluate_one_configuration_at_a_time() -> None:
    traces = samples()
    labelled = [id for id in traces if id in Seeded()]
    choosing, reporting = split(labelled, 0.5)
    swept = sweep(work(traces), ALONE)
    assert (swept.chosen_on.samples, swept.held_out.samples) == (len(choosing), len(reporting))
    for half, ids in ((swept.chosen_on, choosing), (swept.held_out, reporting)):
        golds = {id: Seeded().gold(traces[id]) for id in ids}
        for number, config in enumerate(CONFIGS):
            scores = evaluate((attribute(traces[id], config) for id in ids), golds)
            for name in ("text", "image", "audio", "video", "all"):
                assert half.rate(number, name, "f1") == pytest.approx(scores.micro[name].f1)
                assert half.rate(number, name, "macro_recall") == pytest.approx(
                    scores.macro[name].recall
                )


def test_the_best_on_one_half_is_reported_on_the_other() -> None:
    traces = samples()
    swept = sweep(work(traces), replace(ALONE, metric="macro_precision", modality="image"))
    chosen = swept.chosen_on.rates[:, 1, 3]
    assert len(swept.best) == BEST < len(CONFIGS)
    assert chosen[swept.best[0].number] == chosen.max()
    assert swept.best[0].number == chosen.argmax()
    _, reporting = split([id for id in traces if id in Seeded()], 0.5)
    golds = {id: Seeded().gold(traces[id]) for id in reporting}
    for best in swept.best:
        scores = evaluate(
            (attribute(traces[id], CONFIGS[best.number]) for id in reporting), golds, draws=1000
        )
        for name, score in scores.micro.items():
            own = best.micro[name]
            assert own.f1 == pytest.approx(score.f1)
            assert own.low == pytest.approx(score.low)
            assert own.high == pytest.approx(score.high)


def test_two_processes_find_what_one_does() -> None:
    alone, two = (sweep(work(samples()), replace(ALONE, jobs=jobs)) for jobs in (1, 2))
    assert np.array_equal(alone.chosen_on.tallies, two.chosen_on.tallies)
    assert np.array_equal(alone.held_out.tallies, two.held_out.tallies)
    assert alone.best == two.best


def test_an_error_in_another_process_is_told_as_here() -> None:
    odd = (*CONFIGS, replace(PAPER, signal="nothing"))
    with pytest.raises(CommandError, match="no signal 'nothing'"):
        sweep(work(samples(20), odd), Aim(jobs=2))


def test_samples_that_cannot_be_read_are_named_and_passed_over() -> None:
    traces = samples(8)
    swept = sweep(work(Damaged(traces)), ALONE)
    without = sweep(
        work({id: t for id, t in traces.items() if id != "3"}), replace(ALONE, holdout=0)
    )
    assert swept.damaged == ["sample '3' cannot be read"]
    assert swept.chosen_on.samples + swept.held_out.samples == without.chosen_on.samples == 7
    total = swept.chosen_on.tallies + swept.held_out.tallies
    assert np.allclose(total, without.chosen_on.tallies)
    with pytest.raises(OmniTraceError, match="none of 1 samples could be scored: sample '3'"):
        sweep(work(Damaged({"3": traces["3"]})), replace(ALONE, holdout=0))


def test_the_split_is_by_id_and_exact() -> None:
    ids = [f"sample-{i}" for i in range(101)]
    choosing, held = split(ids, 0.3)
    assert (len(choosing), len(held)) == (71, 30)
    assert sorted([*choosing, *held]) == sorted(ids)
    assert set(split(ids[::-1], 0.3)[1]) == set(held)
    assert choosing == [id for id in ids if id not in held]
    assert [len(half) for half in split(["a", "b"], 0.01)] == [1, 1]
    assert split(ids, 0) == (ids, [])
    with pytest.raises(OmniTraceError, match="cannot be split"):
        split(["a"], 0.5)
    with pytest.raises(OmniTraceError, match="no sample"):
        split([], 0.5)


def test_blocks_hold_every_sample_once_and_in_order() -> None:
    ids = [str(i) for i in range(53)]
    for configs in (1, 2000, 10**6):
        assert [id for block in blocks_of(ids, configs) for id in block] == ids
    assert [len(block) for block in blocks_of(ids, 1)] == [16, 16, 16, 5]
    assert len(blocks_of(ids, 10**6)) == len(ids)
    assert blocks_of([], 1) == []


def test_progress_ends_at_the_number_of_samples() -> None:
    seen: list[tuple[int, int]] = []
    sweep(work(samples(40)), ALONE, lambda at: seen.append((at.done, at.total)))
    assert seen[0] == (0, 37)
    assert seen[-1] == (37, 37)
    assert seen == sorted(seen)


def test_a_table_has_a_row_a_configuration_half_and_modality(tmp_path: Path) -> None:
    swept = sweep(work(samples(12)), ALONE)
    write_rows(tmp_path / "t.csv", rows(swept))
    with (tmp_path / "t.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert len(read) == len(CONFIGS) * 2 * 5
    row = next(
        r for r in read if (r["config"], r["split"], r["modality"]) == ("7", "held-out", "text")
    )
    assert float(row["recall"]) == swept.held_out.rate(7, "text", "recall")
    assert (row["signal"], float(row["curation.gamma"])) == ("rawatt", 0.0)
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]


def test_parquet_holds_what_csv_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("replay.sweep.table.BLOCK_ROWS", 7)
    swept = sweep(work(samples(12)), replace(ALONE, holdout=0))
    write_rows(tmp_path / "t.parquet", rows(swept))
    assert parquet.read_table(tmp_path / "t.parquet").to_pylist() == list(rows(swept))


def test_a_table_that_cannot_be_written_is_told_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="\\.csv or \\.parquet"):
        check_suffix(tmp_path / "t.xlsx")
    with pytest.raises(CommandError, match="no folder"):
        check_suffix(tmp_path / "none" / "t.csv")


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> object:
        yield {"a": 1}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rows(tmp_path / "t.csv", broken())  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_the_rows_of_table_3() -> None:
    made = ablated(PAPER)
    assert list(made) == list(ROWS)
    assert made["full"] == PAPER
    weights = made["no-pos-weights"].curation
    assert {weights.pos_weights.get(tag, weights.pos_other) for tag in (*UPOS, "any")} == {1.0}
    assert made["no-confidence"].curation.gamma == 0.0
    assert made["no-p-min"].curation.p_min == 0.0


def test_ablations_score_every_labelled_sample() -> None:
    traces = samples(15)
    found, damaged = ablate(work(traces, tuple(ablated(PAPER).values())), jobs=1)
    assert damaged == []
    golds = {id: Seeded().gold(traces[id]) for id in traces if id in Seeded()}
    for row in found:
        scores = evaluate((attribute(traces[id], row.config) for id in golds), golds, draws=1000)
        assert row.micro["all"].f1 == pytest.approx(scores.micro["all"].f1)
        assert row.macro["text"].f1 == pytest.approx(scores.macro["text"].f1)
    assert len({row.micro["all"].f1 for row in found}) > 2
