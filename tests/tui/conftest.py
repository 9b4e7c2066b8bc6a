"""A run of the browser's samples on disk, written once."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnitrace import Run
from tests.tui.samples import planted_trace, write_run


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder: Path = tmp_path_factory.mktemp("browser") / "run"
    return write_run(folder, *(planted_trace(f"kitchen-{k}", k) for k in range(30)))
