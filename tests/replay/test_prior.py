"""The prior: curves of other samples at the same relative place, in files that are checked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from omnitrace.cli import main
from omnitrace.errors import CommandError
from omnitrace.store.writer import RunWriter
from omnitrace.timeline import Modality
from replay import PRESETS, Replayer
from replay.config import TokenConfig
from replay.prior import PLACES, prior_of, read_prior, relative_places, write_prior
from replay.rows import rows_of
from tests.build import make_trace
from tests.omnitrace.cli.runs import IDENTITY

PAPER = PRESETS["paper"]


def curves(id: str, seed: int) -> dict[str, object]:
    trace = make_trace(id, seed)
    return dict(prior_of(trace, rows_of(trace, PAPER), np.zeros(trace.n, np.bool_)))


def test_a_curve_is_the_mean_score_of_the_tokens_at_each_place() -> None:
    trace = make_trace()
    dropped = np.zeros(trace.n, np.bool_)
    dropped[2] = True
    found = prior_of(trace, rows_of(trace, PAPER), dropped)
    assert set(found) == {"text", "image", "audio", "video"}
    tokens, place = relative_places(trace, Modality.TEXT)
    mean = trace.scores("attmean")[:, : trace.n].mean(axis=0) * trace.n
    for k in range(PLACES):
        own = [
            mean[t] for t, p in zip(np.flatnonzero(tokens), place, strict=True) if p == k and t != 2
        ]
        assert (
            found["text"][k] == pytest.approx(np.mean(own)) if own else np.isnan(found["text"][k])
        )


def test_a_sample_is_compared_with_the_others_only(tmp_path: Path) -> None:
    traces = [make_trace(id, seed) for seed, id in enumerate("abc")]
    none = np.zeros(traces[0].n, np.bool_)
    made = {t.id: prior_of(t, rows_of(t, PAPER), none) for t in traces}
    file = tmp_path / "prior.json"
    write_prior(file, "attmean", made)
    found = read_prior(str(file), "attmean").usual(traces[0])
    mean = [t.scores("attmean")[:, : t.n].mean(axis=0) for t in traces]
    tokens, place = relative_places(traces[0], Modality.AUDIO)
    assert len(set(place.tolist())) == len(place)  # a place a token, so that no mean is taken
    others = (mean[1] + mean[2])[tokens] / 2
    assert np.allclose(found[tokens], others, atol=1e-5)
    assert not found[traces[0].timeline.modality == Modality.SPECIAL].any()
    config = replace(PAPER, tokens=TokenConfig(prior=str(file)))
    rows = np.maximum(traces[0].scores("attmean")[:, : traces[0].n] - found, 0)
    attribution = Replayer(traces[0]).attribute(config)
    owner = attribution.units.owner_of_tokens(traces[0].n)
    expected = [rows[:, owner == u].sum(axis=1) for u in range(len(attribution.units))]
    assert np.allclose(attribution.mass, np.stack(expected, 1), atol=1e-5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "is no prior"),
        (json.dumps({"schema": "other", "signal": "attmean", "samples": {}}), "no prior of schema"),
        (
            json.dumps(
                {
                    "schema": "omnitrace.prior/1",
                    "signal": "attmean",
                    "samples": {"a": {"text": [1]}},
                }
            ),
            "no prior of schema",
        ),
        (
            json.dumps({"schema": "omnitrace.prior/1", "signal": "rawatt", "samples": {}}),
            "made of the signal rawatt",
        ),
        (None, "cannot read the prior"),
    ],
)
def test_a_file_that_is_no_prior_is_refused(
    content: str | None, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "prior.json"
    if content is not None:
        file.write_text(content)
    config = replace(PAPER, tokens=TokenConfig(prior=str(file)))
    with pytest.raises(CommandError, match=message):
        Replayer(make_trace()).attribute(config)


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    file, trace = tmp_path / "prior.json", make_trace("a")
    usual = []
    for seed in (1, 2, 3):
        write_prior(file, "attmean", {"b" * seed: curves("b", seed)})  # type: ignore[dict-item]
        usual.append(read_prior(str(file), "attmean").usual(trace).tolist())
    assert len({tuple(one) for one in usual}) == 3


def test_the_verb_writes_a_prior_of_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = tmp_path / "run", tmp_path / "prior.json"
    with RunWriter.open(run, IDENTITY) as writer:
        for seed, id in enumerate("ab"):
            writer.add(make_trace(id, seed), id)
    assert main(["prior", str(run), str(out), "--preset", "paper"]) == 0
    assert "2 samples" in capsys.readouterr().err
    replay = ["replay", str(run), "--preset", "paper", "--json"]
    outputs = []
    for more in ([], ["--tokens.prior", str(out)]):
        assert main([*replay, *more]) == 0
        outputs.append(json.loads(capsys.readouterr().out)["samples"])
    assert outputs[0] != outputs[1]
