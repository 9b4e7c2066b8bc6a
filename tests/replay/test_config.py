"""The presets are the table in docs/replay.md, literally; each option is of one stage."""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import fields

import pytest

from omnitrace.config import build, to_dict, to_toml
from omnitrace.errors import CommandError
from replay import PRESETS, CurationConfig, ReplayConfig, preset
from replay.config import stage

CURATION = {
    "coverage": 0.85,
    "p_min": 0.07,
    "run_min": 0.10,
    "alpha": 0.8,
    "gamma": 2.0,
    "pos_weights": {
        "NOUN": 1.0,
        "PROPN": 1.0,
        "NUM": 1.0,
        "VERB": 0.9,
        "ADJ": 0.8,
        "ADV": 0.5,
        "AUX": 0.1,
        "PRON": 0.1,
        "DET": 0.1,
        "ADP": 0.1,
        "CCONJ": 0.1,
        "SCONJ": 0.1,
        "PART": 0.1,
        "PUNCT": 0.0,
    },
    "pos_other": 0.3,
}

TOKENS = {
    "wordless": "keep",
    "markers": "keep",
    "heaviest": 0,
    "outliers": 0.0,
    "quantile": 0.1,
    "activation": 0.0,
    "baseline": "none",
    "prior": "",
    "prior_use": "subtract",
}
TRUST = {"calibration": "", "least": 0.0, "nameable": 0.0, "sinks": 1.0}
NEUTRAL = {
    "tokens": TOKENS,
    "naming": "votes",
    "cause_nats": 1.0,
    "cause_share": 0.5,
    "confirmed": "off",
    "reliability": TRUST,
}
"""Options later than the presets, which change nothing."""


def test_the_papers_preset() -> None:
    assert to_dict(preset("paper")) == {
        "signal": "attmean",
        "layers": "",
        "heads": "",
        "first_step": "query",
        "reduce": "sum",
        "indirect": 0.0,
        "competition": "together",
        "units": {
            "text": "sentence",
            "request": "keep",
            "image": "whole",
            "grid": 2,
            "audio_segments": "",
            "audio_seconds": 1.0,
            "video": "united",
            "video_seconds": 1.0,
            "vision_seconds": 0.0,
            "file": "",
        },
        "tags": "",
        "chunker": "sentence",
        "window": 16,
        "response": "all",
        "curation": CURATION,
        **NEUTRAL,
    }


def test_the_releases_preset() -> None:
    assert to_dict(preset("release")) == {
        "signal": "attmean",
        "layers": "",
        "heads": "",
        "first_step": "prompt-mean",
        "reduce": "max",
        "indirect": 0.0,
        "competition": "release",
        "units": {
            "text": "release",
            "request": "keep",
            "image": "whole",
            "grid": 2,
            "audio_segments": "",
            "audio_seconds": 1.0,
            "video": "apart",
            "video_seconds": 1.0,
            "vision_seconds": 0.0,
            "file": "",
        },
        "tags": "",
        "chunker": "release",
        "window": 16,
        "response": "all",
        "curation": CURATION,
        **NEUTRAL,
    }


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(CommandError, match="no preset 'papr': did you mean 'paper'"):
        preset("papr")


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_toml(name: str) -> None:
    assert build(ReplayConfig(), tomllib.loads(to_toml(PRESETS[name])), name) == PRESETS[name]


def test_weights_are_laid_over_the_papers() -> None:
    built = build(ReplayConfig(), {"curation": {"pos_weights": {"X": 0.5}}}, "f")
    assert built.curation == CurationConfig(pos_weights={**CurationConfig().pos_weights, "X": 0.5})
    with pytest.raises(CommandError, match="unknown key 'NN'"):
        build(ReplayConfig(), {"curation": {"pos_weights": {"NN": 0.5}}}, "f")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layers", "20;21"), ("layers", "20:"), ("layers", "1-3"), ("layers", ",1"),
        ("layers", "-1"), ("layers", "1.2"), ("heads", "3"), ("heads", "3.0.1"),
        ("heads", "3.0:x"), ("heads", "3.0:1e3"),
    ],
)  # fmt: skip
def test_layers_and_heads_have_a_form(key: str, value: str) -> None:
    with pytest.raises(CommandError, match=f"f: {key}: '.*' is not legal; legal: {key} "):
        build(ReplayConfig(), {key: value}, "f")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layers", ""), ("layers", "20"), ("layers", "20,21"), ("layers", "20:0.7, 21:-.3"),
        ("heads", "3.0,3.1,4.2:0.5"),
    ],
)  # fmt: skip
def test_layers_and_heads_of_that_form_are_legal(key: str, value: str) -> None:
    assert getattr(build(ReplayConfig(), {key: value}, "f"), key) == value


@pytest.mark.parametrize("config", [ReplayConfig(), CurationConfig()])
def test_each_option_is_of_exactly_one_stage(config: ReplayConfig | CurationConfig) -> None:
    named = Counter(f.name for kind in type(config).__bases__ for f in fields(kind))
    assert named == Counter(f.name for f in fields(config))


@pytest.mark.parametrize("config", [ReplayConfig(), CurationConfig()])
def test_stages_hold_the_options_of_their_configuration(
    config: ReplayConfig | CurationConfig,
) -> None:
    for kind in type(config).__bases__:
        taken = stage(config, kind)
        assert type(taken) is kind
        assert vars(taken) == {f.name: getattr(config, f.name) for f in fields(kind)}


def test_a_whole_configuration_is_no_cache_key() -> None:
    for config in (ReplayConfig(), CurationConfig()):
        with pytest.raises(TypeError, match="unhashable"):
            hash(config)
