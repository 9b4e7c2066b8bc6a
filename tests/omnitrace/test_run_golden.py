"""Every store of a released format, as it was checked in, opens and reads as it did."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from omnitrace.run import open_run
from tests.golden.make import IDENTITY
from tests.omnitrace.stores import read_all

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("format-*"))


def test_there_is_a_golden_store() -> None:
    assert "format-1.0" in [folder.name for folder in GOLDEN]


@pytest.mark.parametrize("folder", GOLDEN, ids=lambda folder: folder.name)
def test_a_golden_store_reads_as_it_did(folder: Path) -> None:
    run = open_run(folder / "store")
    assert run.damage == []
    assert run.identity == IDENTITY
    assert dict(run.sample_keys) == {id: f"key-{row}" for row, id in enumerate(run)}
    assert read_all(run) == json.loads((folder / "expected.json").read_text("utf-8"))
    assert run.summary().T.tolist() == [16, 2, 0]


def test_codecs_are_loaded_only_to_read_a_sample_and_zarr_never() -> None:
    code = (
        "import sys, omnitrace.run; early = {'zarr', 'numcodecs'} & set(sys.modules);"
        f"omnitrace.open_run({str(GOLDEN[0] / 'store')!r})['ordinary'].scores('attmean');"
        "print(len(early), 'numcodecs' in sys.modules, 'zarr' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "True", "False"]
