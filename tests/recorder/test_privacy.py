"""What a recording reads and what it lets others see."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from omnitrace import CommandError, open_run
from omnitrace.store.columns import check_trace
from omnitrace.units import UnitConfig
from recorder import tracer as module
from recorder.config import RecordConfig
from recorder.models.qwen_omni import QwenOmni
from recorder.privacy import only_for_owner, redact
from recorder.record import record
from tests.build import make_trace
from tests.recorder.conftest import user, write_rows

CONFIG = RecordConfig(max_new_tokens=4)


@pytest.fixture(autouse=True)
def loaded_once(adapter: QwenOmni, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "load_adapter", lambda *_: adapter)


@pytest.fixture
def samples(folder: Path, tmp_path: Path) -> Path:
    (tmp_path / "photo.png").write_bytes((folder / "photo.png").read_bytes())
    row = {"id": "a", "messages": [user("image:photo.png", "Anna is here.")], "answer": "Anna"}
    return write_rows(tmp_path, [row])


def test_media_outside_the_root_are_refused_before_anything_is_made(
    samples: Path, tmp_path: Path
) -> None:
    (tmp_path / "media").mkdir()
    (tmp_path / "file").write_text("x")
    config = replace(CONFIG, media_root=str(tmp_path / "media"))
    with pytest.raises(CommandError, match=r"sample 'a': .*photo.png does not lie in the media"):
        record(samples, tmp_path / "run", config)
    with pytest.raises(CommandError, match="is no folder"):
        record(samples, tmp_path / "run", replace(CONFIG, media_root=str(tmp_path / "file")))
    assert not (tmp_path / "run").exists()
    assert record(samples, tmp_path / "run", replace(CONFIG, media_root=str(tmp_path))).recorded


@pytest.mark.parametrize("kind", ["link", "dots"])
def test_links_and_dots_do_not_lead_out_of_the_root(
    samples: Path, tmp_path: Path, kind: str
) -> None:
    root = tmp_path / "media"
    root.mkdir()
    (root / "photo.png").symlink_to(tmp_path / "photo.png")
    name = "media/photo.png" if kind == "link" else "media/../photo.png"
    row = {"id": "a", "messages": [user(f"image:{name}", "What is it?")]}
    rows = write_rows(tmp_path, [row])
    with pytest.raises(CommandError, match="does not lie in the media root"):
        record(rows, tmp_path / "run", replace(CONFIG, media_root=str(root)))


def test_a_redacted_run_holds_no_word_of_the_prompt_or_the_answer(
    samples: Path, tmp_path: Path
) -> None:
    record(samples, tmp_path / "plain", CONFIG)
    record(samples, tmp_path / "redacted", replace(CONFIG, redact_text=True))
    plain, hidden = open_run(tmp_path / "plain")["a"], open_run(tmp_path / "redacted")["a"]
    stored = json.dumps([hidden.prompt_text, hidden.response, dict(hidden.meta)])
    stored += json.dumps([medium.name for medium in hidden.media])
    for word in ("Anna", "here", "photo", *plain.response.split()):
        assert word not in stored
    assert not hidden.prompt_ids.any()
    assert not hidden.response_ids.any()
    assert len(hidden.prompt_text) == len(plain.prompt_text)
    assert np.array_equal(hidden.scores("attmean"), plain.scores("attmean"))
    assert hidden.pos == plain.pos
    assert len(hidden.units(UnitConfig())) == len(plain.units(UnitConfig()))
    [segment] = open_run(tmp_path / "redacted").segments.values()
    entry = segment.marker.samples[0]
    assert set(entry.preview) <= set("x .,!?'-")


def test_a_redacted_trace_is_legal_and_stays_in_its_places() -> None:
    trace = make_trace()
    hidden = redact(trace)
    check_trace(hidden, "key")
    assert [c for c in hidden.prompt_text if c.isalnum() and c != "x"] == []
    assert [c.isspace() for c in hidden.prompt_text] == [c.isspace() for c in trace.prompt_text]
    assert {medium.name for medium in hidden.media}.isdisjoint(m.name for m in trace.media)


def test_a_private_run_is_its_owner_s_alone(samples: Path, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        record(samples, tmp_path / "run", replace(CONFIG, private=True))
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
    paths = [tmp_path / "run", *(tmp_path / "run").rglob("*")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600, 0o700}


def test_the_mask_is_put_back_whatever_happens() -> None:
    before = os.umask(0o022)
    os.umask(before)
    with pytest.raises(RuntimeError), only_for_owner(True):
        raise RuntimeError
    assert os.umask(before) == before


def test_nothing_of_the_environment_is_recorded(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_TOKEN", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "ANYTHING"):
        monkeypatch.setenv(name, "f00ba4-secret")
    record(samples, tmp_path / "run", CONFIG)
    run = open_run(tmp_path / "run")
    said = json.dumps([run.identity, run.created_by, dict(run["a"].meta)])
    said += "".join(path.read_text() for path in (tmp_path / "run" / "commits").iterdir())
    assert "f00ba4-secret" not in said
    assert str(tmp_path) not in said
