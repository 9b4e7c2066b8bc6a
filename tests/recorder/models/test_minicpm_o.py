"""MiniCPM-o on a double of its code: where its tokens lie, what it refuses, whom it trusts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from omnitrace import open_run
from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.timeline import Modality
from recorder.config import RecordConfig
from recorder.inputs.samples import Sample
from recorder.models.adapter import Adapter, describe_model, load_adapter
from recorder.models.minicpm_o import MiniCPMO
from recorder.models.settings import Weights
from recorder.record import record
from tests.recorder.conftest import user, write_rows
from tests.recorder.toys import TOYS

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("minicpm_o")
    TOYS["minicpm_o"](path)
    return path


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> Adapter:
    spec = describe_model(str(checkpoint), trusted=True)
    return load_adapter(spec, Weights("float32", "cpu"))


def test_pictures_with_their_slices_and_sounds_are_placed(
    model: Adapter, make_sample: Callable[..., Sample]
) -> None:
    prompt = ("See: <", "image:photo.png", "audio:speech.wav", "image:tall.jpg", "What, (1 > 0)?")
    prepared = model.prepare(make_sample(*prompt))
    line = prepared.prompt.timeline
    assert prepared.prompt.prompt_text == "See: <What, (1 > 0)?"
    held = line.modality != Modality.SPECIAL
    assert [((line.medium == m) & held).sum() for m in range(3)] == [8, 23, 4]
    assert set(prepared.prompt.prompt_ids[(line.medium >= 0) & held]) == {model.encode("<unk>")[0]}
    marks = [
        model.decode(prepared.prompt.prompt_ids[(line.medium == m) & ~held].tolist())
        for m in range(3)
    ]
    assert marks == [
        "<image_id>0</image_id><image></image><slice></slice>\n",
        "<|audio_start|><|audio_end|>" * 3,
        "<image_id>1</image_id><image></image>",
    ]
    for medium, part in enumerate((1, 2, 3)):
        assert set(line.part[line.medium == medium]) == {part}
    for part, name in ((0, "See: <"), (4, "What, (1 > 0)?")):
        assert model.decode(prepared.prompt.prompt_ids[line.part == part].tolist()) == name
    heard = (line.medium == 1) & held
    assert set(line.modality[heard]) == {Modality.AUDIO}
    np.testing.assert_allclose(line.start_s[heard], np.arange(23) / 10)
    assert line.end_s[heard].max() <= (prepared.prompt.media[1].duration_s or 0)
    for medium in (0, 2):
        assert set(line.modality[(line.medium == medium) & held]) == {Modality.IMAGE}


@pytest.mark.parametrize(("name", "sounds"), [("film.mp4", True), ("silent.mp4", False)])
def test_films_are_a_frame_and_the_sound_of_each_second(
    name: str, sounds: bool, model: Adapter, make_sample: Callable[..., Sample]
) -> None:
    prepared = model.prepare(make_sample(f"video:{name}", "What moves?"))
    line = prepared.prompt.timeline
    seen, heard = (line.modality == kind for kind in (Modality.VIDEO, Modality.AUDIO))
    assert line.frame[seen].tolist() == np.repeat(np.arange(4), 4).tolist()
    assert line.start_s[seen].tolist() == line.frame[seen].tolist()
    assert line.start_s[heard] == pytest.approx(np.arange(40 if sounds else 0) / 10)
    assert set(line.medium[seen | heard]) == {0}
    wraps = (line.medium == 0) & ~(seen | heard)
    assert set(line.modality[wraps]) == {Modality.SPECIAL}
    assert set(line.part[line.medium == 0]) == {0}
    assert model.decode(prepared.prompt.prompt_ids.tolist()).count("<unit>") == (4 if sounds else 0)
    assert "image_id" not in model.decode(prepared.prompt.prompt_ids.tolist())


def test_media_change_what_the_decoder_reads(
    model: Adapter, make_sample: Callable[..., Sample]
) -> None:
    """Where media lie the decoder gets their embeddings; elsewhere its own of the ids."""
    prepared = model.prepare(make_sample("image:photo.png", "audio:speech.wav", "What?"))
    given = prepared.inputs["inputs_embeds"][0]
    own = model.model.get_input_embeddings()(prepared.inputs["input_ids"])[0]
    equal = (given == own).all(-1).numpy()
    held = np.isin(prepared.prompt.timeline.modality, [Modality.IMAGE, Modality.AUDIO])
    assert (equal == ~held).all()
    assert (prepared.prompt.timeline.medium[held] >= 0).all()


def test_what_it_cannot_take(
    model: Adapter, make_sample: Callable[..., Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(model, MiniCPMO)
    with pytest.raises(OmniTraceError, match="stands for a medium"):
        model.prepare(make_sample("Is (<audio>./</audio>) a sound?"))
    with pytest.raises(OmniTraceError, match="control token"):
        model.prepare(make_sample("Is <image> a picture?"))
    monkeypatch.setattr("recorder.inputs.media.MAX_FRAMES", 3)
    with pytest.raises(OmniTraceError, match=r"film\.mp4 is longer than 3 seconds"):
        model.prepare(make_sample("video:film.mp4", "What?"))
    monkeypatch.setattr(model.model.config, "max_position_embeddings", 40)
    with pytest.raises(OmniTraceError, match="more than the 40 tokens"):
        model.prepare(make_sample("audio:speech.wav", "What do you hear in this recording of it?"))


def test_its_code_runs_only_where_that_is_allowed(checkpoint: Path) -> None:
    with pytest.raises(CommandError, match="brings code of its own: read it, then allow it"):
        describe_model(str(checkpoint))
    with pytest.raises(CommandError, match="has no revisions"):
        describe_model(str(checkpoint), COMMIT, trusted=True)
    for revision in ("", "main", COMMIT[:7]):
        with pytest.raises(CommandError, match="--revision takes the commit that you read"):
            describe_model("openbmb/MiniCPM-o-4_5", revision, trusted=True)


def test_a_run_knows_the_code_that_made_it(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    rows = [
        {"id": "a", "messages": [user("image:photo.png", "What is it?")]},
        {"id": "b", "messages": [user("video:film.mp4", "What moves?")]},
    ]
    samples = write_rows(folder, rows, "minicpm.jsonl")
    config = RecordConfig(
        model=str(checkpoint), trust_remote_code=True, max_new_tokens=4, batch_size="2"
    )
    assert record(samples, tmp_path / "run", config).recorded == 2
    trace = open_run(tmp_path / "run")["b"]
    assert trace.scores("attmean").sum(1) == pytest.approx(1, abs=1e-5)
    code = checkpoint / "modeling_minicpmo.py"
    was = code.read_text()
    code.write_text(was + "\n# changed\n")
    with pytest.raises(OmniTraceError, match="revision is"):
        record(samples, tmp_path / "run", config)
    code.write_text(was)
    untrusting = replace(config, trust_remote_code=False)
    with pytest.raises(CommandError, match="--trust-remote-code"):
        record(samples, tmp_path / "run", untrusting)
