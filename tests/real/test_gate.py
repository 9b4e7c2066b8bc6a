"""The gate on released models: it keeps what rests on its evidence, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from omnitrace.cli import main
from tests.real.conftest import TOKENS, Real, write_samples

pytestmark = pytest.mark.real

ROWS: list[dict[str, Any]] = [
    {
        "id": "boat",
        "accepted": ["harbour"],
        "sentences": [{"evidence": ["The boat is in the harbour."]}],
    },
    {
        "id": "france",  # known without the prompt
        "accepted": ["Paris"],
        "sentences": [{"evidence": ["The capital of Italy is Rome."]}],
    },
    {
        "id": "japan",
        "accepted": ["Osaka"],
        "sentences": [{"evidence": ["The capital of Italy is Rome."]}],
    },
]


def test_what_the_prompt_caused_is_kept(
    real: Real, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = write_samples(tmp_path / "samples.jsonl", [row["id"] for row in ROWS])
    evidence, run = tmp_path / "evidence.jsonl", str(tmp_path / "run")
    evidence.write_text("\n".join(json.dumps(row) for row in ROWS))
    model = ["--model", str(real.folder)]
    little = ["--signals", "attmean", "--first-step", "query", "--max-new-tokens", str(TOKENS)]
    assert main(["record", str(samples), run, *model, *little]) == 0
    capsys.readouterr()
    files = ["--evidence", str(evidence), "--samples", str(samples)]
    assert main(["gate", run, *files, *model, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kept"] == ["boat"]
    assert found["lost"] == {"france": "caused", "japan": "right"}
    measured = {one["id"]: one for one in found["measured"]}
    assert measured["boat"]["falls"][0] > 0.5
    assert measured["boat"]["drift"] < 1e-3
    assert (measured["france"]["same"], measured["france"]["changes"]) == (True, False)
