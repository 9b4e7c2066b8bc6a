"""Similarity by the model's own embeddings: of which tokens, for every family; what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from omnitrace import CommandError, OmniTraceError, Run
from omnitrace.baseline import BaselineConfig
from omnitrace.cli import main
from omnitrace.timeline import Modality
from recorder.baselines.embedding import Embedding, load, means
from recorder.identity import RecordedSamples, reload_model
from recorder.inputs.samples import Sample
from recorder.models.adapter import describe_model, load_adapter
from recorder.models.qwen_omni import QwenOmni
from recorder.models.settings import Weights
from recorder.passes.decoder_inputs import prompt_embeddings
from replay.baselines.similarity import chunks_of
from replay.evaluation import judging_space
from replay.evaluation.sources import read_golds
from tests.recorder.conftest import user, write_rows
from tests.recorder.toys import TOYS

PROMPTS = {
    "llama": ("The parcel weighs seven kilos.",),
    "qwen2_5_vl": ("Look:", "image:photo.png", " and ", "image:tall.jpg", "What is it?"),
    "llava": ("image:photo.png", "What does it show?"),
    "qwen3_omni": ("image:photo.png", "audio:speech.wav", "What is it?"),
    "minicpm_o": ("image:photo.png", "audio:speech.wav", "What is it?"),
}


@contextmanager
def nothing_decoded(model: Any) -> Iterator[None]:
    """While inside, a pass through the decoder's layers fails."""

    def refuse(*args: Any) -> None:
        raise AssertionError("the decoder ran")

    hooks = [layer.register_forward_pre_hook(refuse) for layer in model.get_decoder().layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize("family", PROMPTS)
def test_every_family_says_what_enters_its_decoder(
    family: str, make_sample: Callable[..., Sample], tmp_path: Path
) -> None:
    """GIVEN a family's toy THEN its texts' embeddings are the table's rows, its media's are not."""
    TOYS[family](tmp_path)
    spec = describe_model(str(tmp_path), trusted=family == "minicpm_o")
    adapter = load_adapter(spec, Weights("float32", "cpu"))
    prepared = adapter.prepare(make_sample(*PROMPTS[family]))
    with nothing_decoded(adapter.model):
        found = prompt_embeddings(adapter, prepared).double().cpu().numpy()
    table = adapter.model.get_input_embeddings().weight.detach().double().numpy()
    line, rows = prepared.prompt.timeline, table[prepared.prompt.prompt_ids]
    media = np.isin(line.modality, [Modality.IMAGE, Modality.AUDIO])
    np.testing.assert_allclose(
        found[line.modality == Modality.TEXT], rows[line.modality == Modality.TEXT]
    )
    assert (np.abs(found - rows).max(axis=1) > 1e-6)[media].all()
    assert media.any() == (family != "llama")


@pytest.fixture(scope="module")
def embedding(adapter: QwenOmni, samples: Path) -> Embedding:
    return Embedding(adapter, RecordedSamples.read(str(samples)))


def test_a_chunk_is_the_mean_of_its_tokens(run: Run, embedding: Embedding) -> None:
    """GIVEN the recorded ids and the vision tower's output THEN a plain loop gives the same."""
    trace = run["mixed"]
    prepared = embedding.adapter.prepare(embedding.samples.of(trace))
    model, line, space = embedding.adapter.model, trace.timeline, judging_space(trace)
    table = model.get_input_embeddings().weight.detach().double().numpy()
    with torch.no_grad():
        seen = model.get_image_features(
            prepared.inputs["pixel_values"], image_grid_thw=prepared.inputs["image_grid_thw"]
        )
    seen = getattr(seen, "pooler_output", seen)
    pictures = torch.cat(list(seen)).double().numpy()
    vectors = table[trace.prompt_ids]
    vectors[line.modality == Modality.IMAGE] = pictures
    found = embedding.similarities(trace, chunks_of(trace))
    assert found.shape == (len(trace.sentences), len(space))
    for row, (first, last) in enumerate(chunks_of(trace).steps.tolist()):
        said = table[trace.response_ids[first:last]].mean(axis=0)
        for label in range(len(space)):
            own = [
                i
                for i in range(trace.n)
                if space.of_token[i] == label
                or (line.modality[i] == Modality.IMAGE and line.medium[i] == space.medium[label])
            ]
            if space.kind[label] == Modality.AUDIO:
                assert np.isnan(found[row, label])
                continue
            chunk = vectors[own].mean(axis=0)
            cosine = said @ chunk / np.linalg.norm(said) / np.linalg.norm(chunk)
            assert found[row, label] == pytest.approx(cosine, abs=1e-6)


def test_means_of_nothing_are_zero() -> None:
    vectors = np.array([[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]])
    found = means(vectors, np.array([1, 1, -1], np.int32), 3)
    assert found.tolist() == [[0.0, 0.0], [2.0, 3.0], [0.0, 0.0]]


def test_the_recorded_model_is_asked(run: Run, samples: Path, tmp_path: Path) -> None:
    made = load(run.identity, BaselineConfig(samples=str(samples), device="cpu"))
    assert made.similarities(run["plain"], chunks_of(run["plain"])).max() > 0
    TOYS["llama"](tmp_path)
    with pytest.raises(CommandError, match="run of 'tiny_omni' was recorded with the model_type"):
        reload_model(run.identity, BaselineConfig(model=str(tmp_path)))


def test_a_prompt_that_is_not_the_recorded_one_is_refused(run: Run, embedding: Embedding) -> None:
    trace = run["plain"]
    other = replace(trace, prompt_ids=trace.prompt_ids + 1)
    with pytest.raises(OmniTraceError, match=r"tokens that are not the .* recorded ones"):
        embedding.samples.prepare(embedding.adapter, other)


def test_samples_are_held_against_the_recording(run: Run, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="name the samples file that was recorded with"):
        RecordedSamples.read("")
    rows = [
        {"id": "plain", "messages": [user("Hello.")]},
        {"id": "mixed", "messages": [user("image:photo.png", "Hello.")]},
    ]
    found = RecordedSamples.read(str(write_rows(tmp_path, rows)))
    assert found.of(run["plain"]).id == "plain"
    with pytest.raises(OmniTraceError, match="gives it 1 media; 3 were recorded"):
        found.of(run["mixed"])
    with pytest.raises(OmniTraceError, match="has no such sample"):
        found.of(replace(run["plain"], id="other"))
    rows[1]["messages"] = [user("image:photo.png", "audio:speech.wav", "image:tall.jpg")]
    for name in ("photo.png", "speech.wav", "tall.jpg"):
        (tmp_path / name).write_bytes(b"other")
    changed = RecordedSamples.read(str(write_rows(tmp_path, rows)))
    with pytest.raises(OmniTraceError, match=r"photo\.png is not the image 'photo.png' that was"):
        changed.of(run["mixed"])


def test_the_command_predicts_and_then_needs_no_model(
    run: Run, samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """GIVEN a first call THEN a second with another threshold reads what was kept."""
    out = tmp_path / "embedding.jsonl"
    flags = ["baseline", run.path, str(out), "--method", "embedding"]
    assert main([*flags, "--samples", str(samples), "--device", "cpu"]) == 0
    assert "2 samples, text from 0.25 on, image from 0.25 on" in capsys.readouterr().err
    some = read_golds(out).gold(run["mixed"]).true
    assert main([*flags, "--threshold", "-1"]) == 0
    assert "torch" not in capsys.readouterr().err
    every = read_golds(out).gold(run["mixed"])
    assert every.true[:, every.space.kind <= Modality.IMAGE].all()
    assert some.sum() < every.true.sum()


def test_the_command_names_samples_that_changed(
    run: Run, samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"id": "plain", "messages": [user("Something else?")]}]
    changed = write_rows(tmp_path, rows)
    out = tmp_path / "embedding.jsonl"
    flags = ["baseline", run.path, str(out), "--method", "embedding", "--samples"]
    assert main([*flags, str(changed)]) == 1
    said = capsys.readouterr().err
    assert "sample 'plain': its prompt has" in said
    assert f"sample 'mixed': {changed} has no such sample" in said
    assert not out.exists()
    assert main([*flags, str(samples)]) == 0
