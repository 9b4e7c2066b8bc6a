"""Reliability: features of a span, a monotone probability, files that are checked, abstention."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnitrace.cli import main
from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.store.writer import RunWriter
from replay import PRESETS, Dropped, Source, attribute
from replay.config import ReliabilityConfig
from replay.evaluation.trust import trust, trust_of
from replay.reliability import (
    FEATURES,
    Calibration,
    calibration_error,
    fit,
    read_calibration,
    reliability_of,
    write_calibration,
)
from tests.build import make_trace
from tests.omnitrace.cli.runs import IDENTITY
from tests.replay.analyses.golds import FACT, OTHER_FACT, claiming, judged, truth_of

PAPER = PRESETS["paper"]
CALIBRATION = Calibration(-2.0, {"top": 3.0, "nameable": 1.0})


def test_features_are_those_of_the_best_source() -> None:
    sources = (Source(3, 0.3, 0, 0), Source(1, 0.5, 0, 0))
    found = reliability_of(sources, (Dropped(2, 0.1, "p_min"),), 0.7)
    assert found is not None
    assert found.features == pytest.approx((0.5, 0.2, 0.7))
    assert found.probability is None
    alone = reliability_of(sources[:1], (Dropped(2, 0.6, "request"),), 0.7)
    assert alone is not None
    assert alone.margin == pytest.approx(-0.3)
    assert reliability_of((), (), 0.7) is None


@given(st.lists(st.tuples(*[st.floats(0, 1)] * 3), min_size=4, max_size=30), st.integers(0, 9))
def test_a_fitted_probability_never_falls_where_a_feature_rises(
    rows: list[tuple[float, float, float]], seed: int
) -> None:
    right = (np.arange(len(rows)) % 2).astype(float)
    made = fit(np.array(rows), np.random.default_rng(seed).permutation(right))
    assert min(made.weights.values()) >= 0
    low, high = (made.probability([value] * 3) for value in (0.2, 0.8))
    assert low is not None
    assert high is not None
    assert 0 <= low <= high <= 1


def test_a_fit_is_calibrated_and_ranks() -> None:
    rng = np.random.default_rng(0)
    features = rng.random((4000, 3))
    true = 1 / (1 + np.exp(3 - 6 * features[:, 0]))  # margin and nameable say nothing
    right = (rng.random(4000) < true).astype(float)
    made = fit(features[:2000], right[:2000])
    found = np.array([made.probability(row) for row in features[2000:].tolist()], float)
    assert calibration_error(found, right[2000:]) < 0.05
    assert np.abs(found - true[2000:]).mean() < 0.05
    assert made.weights["top"] > 5 * max(made.weights["margin"], made.weights["nameable"])


def test_a_feature_that_is_not_known_everywhere_has_no_weight() -> None:
    features = np.array([[0.9, 0.5, np.nan], [0.8, 0.4, 0.3], [0.1, 0.1, 0.9], [0.2, 0.0, 0.8]])
    made = fit(features, np.array([1.0, 1, 0, 0]))
    assert made.weights["nameable"] == 0
    assert made.probability([0.9, 0.5, float("nan")]) is not None
    assert Calibration(0, {"nameable": 1}).probability([0.9, 0.5, float("nan")]) is None


@pytest.mark.parametrize("right", [[], [1.0, 1.0], [0.0, 0.0]])
def test_one_kind_of_span_cannot_be_calibrated(right: list[float]) -> None:
    with pytest.raises(OmniTraceError, match="nothing to calibrate"):
        fit(np.zeros((len(right), 3)), np.array(right))


def test_the_calibration_error_is_that_of_bins() -> None:
    probability, right = np.array([0.05, 0.05, 0.95, 1.0]), np.array([0.0, 1, 1, 1])
    assert calibration_error(probability, right) == pytest.approx((0.9 + 0.05) / 4)
    assert np.isnan(calibration_error(np.empty(0), np.empty(0)))


def test_a_file_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "calibration.json"
    write_calibration(file, CALIBRATION, 9, 3, {"signal": "attmean"})
    assert read_calibration(str(file)) == CALIBRATION
    assert read_calibration("") is None


def test_the_bundled_calibration_is_one() -> None:
    made = read_calibration("bundled")
    assert made is not None
    low, high = (made.probability([value, value, 0.5]) for value in (0.1, 0.9))
    assert low is not None
    assert high is not None
    assert low < high


@pytest.mark.parametrize(
    "content",
    [
        "{",
        json.dumps({"schema": "other", "intercept": 0, "weights": {}}),
        json.dumps({"schema": "omnitrace.calibration/1", "intercept": 0, "weights": {"x": 1}}),
        json.dumps({"schema": "omnitrace.calibration/1", "intercept": 0, "weights": {"top": -1}}),
    ],
)
def test_a_file_that_is_no_calibration_is_refused(content: str, tmp_path: Path) -> None:
    file = tmp_path / "calibration.json"
    file.write_text(content)
    with pytest.raises(CommandError, match="is no calibration"):
        read_calibration(str(file))
    with pytest.raises(CommandError, match="cannot read the calibration"):
        read_calibration(str(tmp_path / "absent.json"))


def test_spans_below_a_threshold_lose_their_sources_and_others_do_not(tmp_path: Path) -> None:
    file = tmp_path / "calibration.json"
    write_calibration(file, CALIBRATION, 1, 1, {})
    config = replace(PAPER, reliability=ReliabilityConfig(str(file)))
    whole = attribute(make_trace(), config).spans
    known = [span.reliability.probability for span in whole if span.reliability]
    assert len(known) == len(whole)
    middle = sorted(value for value in known if value is not None)[1]
    strict = replace(config, reliability=ReliabilityConfig(str(file), least=middle))
    for before, after, value in zip(
        whole, attribute(make_trace(), strict).spans, known, strict=True
    ):
        assert value is not None
        assert bool(after.unattributable) == (value < middle)
        if value < middle:
            lost = tuple(Dropped(s.unit, s.mass, "least") for s in before.sources)
            assert (after.sources, after.dropped) == ((), lost + before.dropped)
        else:
            assert (after.sources, after.dropped) == (before.sources, before.dropped)


def test_trust_counts_best_sources_that_are_right() -> None:
    # Right with 0.9, wrong with 0.6 although its second source is right; the third is not judged.
    attribution = claiming({"text-0": 0.9}, {"text-1": 0.6, "image-0": 0.4}, {"text-0": 1.0})
    spans = [
        replace(span, reliability=reliability_of(span.sources, (), 0.5))
        for span in attribution.spans
    ]
    attribution = replace(attribution, spans=tuple(spans))
    _, attribution, gold = judged(attribution, truth_of((FACT,), (FACT,), None))
    rows = trust_of(attribution, gold)
    assert rows[:, [0, 1, 2, 4, 5]].tolist() == [
        pytest.approx([0.9, 0.9, 0.5, 1, 0]),
        pytest.approx([0.6, 0.2, 0.5, 0, 0]),
    ]
    found = trust([rows])
    assert (found.spans, found.hit.value, found.auc["top"]) == (2, 0.5, 1.0)
    assert found.ece["top"] == pytest.approx((0.1 + 0.6) / 2)
    assert np.isnan(found.auc["probability"])
    assert set(FEATURES) < {*found.auc}
    assert OTHER_FACT != FACT


def test_a_calibration_is_learned_and_reported_by_verbs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, truths, out = tmp_path / "run", tmp_path / "truth.jsonl", tmp_path / "made.json"
    lines = []
    with RunWriter.open(run, IDENTITY) as writer:
        for seed in range(12):
            writer.add(make_trace(str(seed), seed), str(seed))
            labels = [{"text_source": [0]}, {"text_source": [1]}, {"text_source": [0, 1]}]
            lines.append(json.dumps({"id": str(seed), "labels": labels}))
    truths.write_text("\n".join(lines))
    learn = ["calibrate", str(run), str(out), "--labels", str(truths), "--preset", "paper"]
    assert main([*learn, "--json"]) == 0
    printed, err = capsys.readouterr()
    document = json.loads(printed)
    assert document["schema"] == "omnitrace.calibrate/1"
    assert 0 <= document["ece"]["probability"] <= 1
    assert "6 samples that were held out" in err
    assert main([*learn, "--more", str(run), str(truths), "--holdout", "0"]) == 0
    assert "24 samples; the figures are of the same samples" in capsys.readouterr().err
    use = ["--preset", "paper", "--reliability.calibration", str(out), "--json"]
    assert main(["evaluate", str(run), str(truths), *use]) == 0
    reliability = json.loads(capsys.readouterr().out)["reliability"]
    assert set(reliability["auc"]) == {*FEATURES, "probability"}
    assert main(["replay", str(run), *use, "--reliability.sinks", "0"]) == 0
    printed, err = capsys.readouterr()
    spans = [span for sample in json.loads(printed)["samples"] for span in sample["spans"]]
    assert all(0 < span["probability"] < 1 for span in spans if span["sources"])
    assert err.count("lie on the template") == 12
