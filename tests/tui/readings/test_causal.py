"""Signal against cause: the sources by recorded ablations and by attention, side by side."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from omnitrace import Run, open_run
from omnitrace.ablations import Row
from omnitrace.cli import main
from recorder.planted.samples import make_sample, write_samples
from replay import PRESETS, CurationConfig, ReplayConfig, Replayer
from replay.methods import AttributionTask
from replay.methods.compare import compare
from tests.replay.faithfulness.made import ablated
from tests.tui.drive import LARGE, browsing, press, text, title, tokens
from tests.tui.samples import planted_trace, write_run
from tui.readings.causal import causal_result
from tui.readings.columns import AGREED, DIFFERS, Compared, side_table

SEED = 20_600
UNITS = replace(PRESETS["default"].units, request="keep")
ALL = CurationConfig(coverage=1.0, p_min=0.0)
SUMS = ReplayConfig(signal="rawatt", reduce="sum", units=UNITS, curation=ALL)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one planted sample of the bundled model, recorded with its ablations."""
    folder = tmp_path_factory.mktemp("caused")
    write_samples([make_sample(SEED, "audio")], folder)
    command = ["record", str(folder / "samples.jsonl"), str(folder / "run"), "--signals", "rawatt"]
    assert main([*command, "--ablations", "64"]) == 0
    return folder / "run"


@pytest.fixture
def run(recorded: Path) -> Run:
    return open_run(recorded)


def test_what_both_name_agrees_and_what_one_names_has_its_reasons() -> None:
    task = ablated()
    attribution = Replayer(task.trace).attribute(task.config)
    cause = causal_result(attribution, Replayer(task.trace), "loo")
    assert cause is not None
    assert list(cause.spans) == compare(task, task, ("signal", "loo"))
    sides = side_table(Compared(task.trace, attribution, causal=cause))
    assert sides.titles == ("because of", "really because of (loo)")
    for found, span in zip(cause.spans, sides.spans, strict=True):
        ours, theirs = span.columns
        assert [e.sign for e in theirs] == [AGREED] * len(found.both) + [DIFFERS] * (
            len(theirs) - len(found.both)
        )
        parted = [e.disagreement for e in (*ours, *theirs) if e.disagreement]
        assert sorted(p.unit for p in parted) == sorted(p.unit for p in found.disagreements)
        assert all(entry.sign == (DIFFERS if entry.disagreement else AGREED) for entry in ours)
        assert span.differing == len(found.disagreements)


def test_without_ablations_nobody_is_asked() -> None:
    replayer = Replayer(planted_trace())
    assert causal_result(replayer.attribute(ReplayConfig("attmean")), replayer, "loo") is None


def test_removals_of_the_best_sources_and_cheap_masks_are_no_such_ablations() -> None:
    task = ablated()
    every = task.trace.ablation("mask")
    few = (~every.kept).sum(axis=1) < 2
    single = replace(
        every,
        name="confirm",
        kept=every.kept[few],
        why=np.where(every.kept[few].all(axis=1), Row.FULL, Row.WITHOUT_UNIT).astype(np.uint8),
        held_out=every.held_out[few],
        log_odds=every.log_odds[few],
    )
    cheap = replace(every, name="cheap", mode="answer-mask")
    for ablations, asked in (([single], False), ([cheap], False), ([single, every], True)):
        trace = replace(task.trace, ablations={a.name: a for a in ablations})
        replayer = Replayer(trace)
        found = causal_result(replayer.attribute(task.config), replayer, "loo")
        assert (found is not None) == asked


async def test_signal_and_cause_side_by_side_disagreements_first(run: Run) -> None:
    [sample] = run
    task = AttributionTask(run[sample], SUMS)
    expected = compare(task, task, ("signal", "loo"))
    reasons = {", ".join(p.reasons) for found in expected for p in found.disagreements}
    assert any(reasons)
    async with browsing(run, sample, size=LARGE, config=SUMS) as pilot:
        await press(pilot, "3", "o")
        rows = text(pilot, "#side-by-side").splitlines()
        assert "really because of (loo)" in rows[0]
        assert rows[1].startswith("≠")
        seen = {why for row in rows for why in re.findall(r" ≠ ([a-z]+(?:, [a-z]+)*)", row)}
        assert reasons <= seen | {""}
        apart = sum(bool(found.disagreements) for found in expected)
        assert f"{apart} of {len(expected)} spans disagree" in title(pilot, "#side-by-side")
        await press(pilot, "down", "down")
        assert "signal" in text(pilot, "#status")
        assert "loo" in text(pilot, "#status")


async def test_another_method_says_what_the_cause_is(run: Run) -> None:
    async with browsing(run, next(iter(run)), size=LARGE, config=SUMS) as pilot:
        await press(pilot, "3", "a")
        assert "(contextcite)" in text(pilot, "#side-by-side")
        await press(pilot, "a")
        assert "really" not in text(pilot, "#side-by-side")
        await press(pilot, "a")
        assert "(loo)" in text(pilot, "#side-by-side")


async def test_units_finer_than_the_masks_are_told_in_place(run: Run) -> None:
    finer = replace(SUMS, units=replace(UNITS, audio_seconds=0.25))
    async with browsing(run, next(iter(run)), size=LARGE, config=finer) as pilot:
        await press(pilot, "3")
        assert "cannot be said" in text(pilot, "#side-by-side")
        assert "finer than what was taken away" in text(pilot, "#status")
        await press(pilot, "1", "right")
        assert tokens(pilot).cursor == 1


async def test_damaged_ablations_leave_the_rest_usable(recorded: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(recorded, tmp_path / "run"))
    [addition] = (copy / "additions").iterdir()
    addition.write_bytes(addition.read_bytes()[:-100])
    run = open_run(copy)
    async with browsing(run, next(iter(run)), size=LARGE, config=SUMS) as pilot:
        await press(pilot, "3")
        assert "is damaged" in text(pilot, "#status")
        assert "because of" in text(pilot, "#side-by-side")
        await press(pilot, "a")
        assert "is damaged" in text(pilot, "#status")
        await press(pilot, "1", "right")
        assert tokens(pilot).cursor == 1


async def test_a_sample_without_ablations_says_how_to_record_some(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", planted_trace("one"))
    async with browsing(run, "one", size=LARGE) as pilot:
        await press(pilot, "3")
        assert "ablate-inputs" in text(pilot, "#status")
        await press(pilot, "1", "3", "a")
        assert "No ablations" in text(pilot, "#status")
