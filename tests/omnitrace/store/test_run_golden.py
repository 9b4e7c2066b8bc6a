"""Every store of a released format, as it was checked in, opens and reads as it did."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from omnitrace.store.run import open_run
from tests.golden.make import IDENTITY, describe_added
from tests.omnitrace.store.stores import describe, read_all

GOLDEN = sorted((Path(__file__).parents[2] / "golden").glob("format-*"))
LEVELS = sorted((Path(__file__).parents[2] / "golden").glob("levels-*"))


def test_there_is_a_golden_store() -> None:
    assert "format-1.0" in [folder.name for folder in GOLDEN]
    assert "levels-1.0" in [folder.name for folder in LEVELS]


@pytest.mark.parametrize("folder", GOLDEN, ids=lambda folder: folder.name)
def test_a_golden_store_reads_as_it_did(folder: Path) -> None:
    run = open_run(folder / "store")
    assert run.damage == []
    assert run.identity == IDENTITY
    assert dict(run.sample_keys) == {id: f"key-{row}" for row, id in enumerate(run)}
    assert read_all(run) == json.loads((folder / "expected.json").read_text("utf-8"))
    assert run.summary().T.tolist() == [16, 2, 0]


@pytest.mark.parametrize("folder", LEVELS, ids=lambda folder: folder.name)
def test_finer_levels_and_additions_read_as_they_did(folder: Path) -> None:
    run = open_run(folder / "store")
    assert run.damage == []
    trace = run["levelled"]
    expected = json.loads((folder / "expected.json").read_text("utf-8"))
    assert describe(trace) | describe_added(trace) == expected
    assert trace.heads().mass.shape == (2, 4, trace.T, 3)
    assert trace.queries_and_keys().rows(1).sum(axis=-1) == pytest.approx(1, rel=1e-5)


def test_codecs_are_loaded_only_to_read_a_sample_and_zarr_never() -> None:
    code = (
        "import sys, omnitrace.store.run; early = {'zarr', 'numcodecs'} & set(sys.modules);"
        f"omnitrace.open_run({str(GOLDEN[0] / 'store')!r})['ordinary'].scores('attmean');"
        "print(len(early), 'numcodecs' in sys.modules, 'zarr' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "True", "False"]
