"""Every reader of foreign bytes, fuzzed for a moment; `python -m benchmarks.fuzz` takes longer."""

from __future__ import annotations

from pathlib import Path

from tests.fuzzed import SLOW, readers
from tests.fuzzing import fuzz

EXECUTIONS = 400


def test_no_reader_crashes_hangs_or_takes_memory(tmp_path: Path) -> None:
    for reader in readers(tmp_path):
        outcome = fuzz(reader, max(20, round(EXECUTIONS * reader.share)), 1, tmp_path)
        assert outcome.failures == []
        assert outcome.executions >= 20
    assert any(reader.share == SLOW for reader in readers(tmp_path))
