"""Who may know whom (DESIGN §1), proved in fresh processes from sys.modules."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "spacy", "textual")
OPTIONAL = ("matplotlib", "jinja2", "pyarrow", "PIL", "rouge_score")
FORBIDDEN = {
    "omnitrace": (*HEAVY, "recorder", "replay", "tui"),
    "omnitrace.cli": (*HEAVY, "recorder", "replay", "tui"),
    "recorder": (*HEAVY, "replay", "tui"),
    "recorder.tags": ("torch", "transformers", "replay", "tui"),
    "recorder.retag": ("torch", "transformers", "replay", "tui"),
    "recorder.segment": (*HEAVY, "replay", "tui"),
    "recorder.segmenters.scribe": (*HEAVY, "replay", "tui"),
    "recorder.segmenters.transcript": (*HEAVY, "replay", "tui"),
    "replay.baselines.run": (*HEAVY, "recorder", "tui"),
    "replay.baselines.random": (*HEAVY, "recorder", "tui"),
    "recorder.baselines.embedding": ("replay", "tui", "textual"),
    "recorder.datasets.write": (*HEAVY, "pyarrow", "replay", "tui"),
    "recorder.record": ("replay", "tui", "textual"),
    "replay": (*HEAVY, "recorder", "tui"),
    "replay.judge": (*HEAVY, "recorder", "tui", "openai", "av", "PIL"),
    "replay.analyses": (*HEAVY, "recorder", "tui", *OPTIONAL),
    "replay.report.formats": (*HEAVY, "recorder", "tui", *OPTIONAL),
    "tui": ("torch", "transformers", "spacy", "recorder"),
    "tui.app": ("torch", "transformers", "spacy", "recorder"),
}


@pytest.mark.parametrize("module", FORBIDDEN)
def test_a_folder_imports_only_what_it_may(module: str) -> None:
    code = f"import {module}, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert module in loaded
    assert sorted(loaded & set(FORBIDDEN[module])) == []
