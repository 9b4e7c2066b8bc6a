"""A small run of the bundled model: one prompt of text, pictures and sound, one of text alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnitrace import Run, open_run
from recorder.config import RecordConfig
from recorder.record import record
from tests.recorder.conftest import user, write_rows

ROWS = [
    {
        "id": "mixed",
        "messages": [
            user(
                "The parcel weighs seven kilos. Anna lives in Oslo.",
                "image:photo.png",
                "audio:speech.wav",
                "image:tall.jpg",
                "What does the parcel weigh?",
            )
        ],
    },
    {"id": "plain", "messages": [user("The mirror costs thirty euros. What does it cost?")]},
]


@pytest.fixture(scope="session")
def samples(folder: Path) -> Path:
    """The samples file of `run`, beside its media."""
    return write_rows(folder, ROWS, "baseline-samples.jsonl")


@pytest.fixture(scope="session")
def run(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("baselines") / "run"
    config = RecordConfig(max_new_tokens=12, signals="attmean", first_step="query")
    assert record(samples, path, config).failed == {}
    return open_run(path)
