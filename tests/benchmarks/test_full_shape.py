"""The benchmark of full shapes, on a small one: every medium is recorded from bfloat16 weights."""

from __future__ import annotations

from benchmarks.full_shape import SECONDS, STEPS, Shape, measure


def test_every_medium_is_recorded() -> None:
    found = measure(Shape(2, 256, 256, 2, 1, words=4096, tower_layers=1))
    assert found["dtypes"] == ["torch.bfloat16"]
    assert found["bytes"]["weights"] == 2 * found["parameters"]
    assert sorted(found["bytes"].values()) == list(found["bytes"].values())
    samples = found["samples"]
    assert list(samples) == ["text", "image", "audio", "video"]
    for kind, sample in samples.items():
        assert sample["response tokens"] == STEPS
        assert sample["modalities"][kind] > 0
        assert sample["recording"]["seconds"] > 0
        assert sample["plain answer"]["seconds"] > 0
        assert sample["largest distance of a row's sum from 1"] < 1e-5
    assert samples["audio"]["modalities"]["audio"] == 25 * SECONDS
    assert samples["video"]["modalities"]["audio"] >= 25 * SECONDS
