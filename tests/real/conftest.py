"""Two released models: their checkpoints, the same weights beside ours, and one recorded run each.

The checkpoints are those that `make real` made; a model that has none is skipped by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from omnitrace.store.run import Run, open_run
from recorder.config import RecordConfig
from recorder.record import RecordSummary, record
from tests.real.chats import CHATS

hf: Any = transformers
"""Its classes are untyped."""
FOLDER = Path(__file__).parents[2] / ".real"
TOKENS = 12


@dataclass(frozen=True)
class Real:
    """A checkpoint: its `folder`, the `gguf` file that it was made of, the tokenizer, and the model
    as transformers loads it, untouched by us."""

    name: str
    folder: Path
    gguf: Path
    tokenizer: Any = field(repr=False)
    model: Any = field(repr=False)

    def prompt_ids(self, chat: str) -> list[int]:
        """What transformers makes of a chat."""
        ids: list[int] = self.tokenizer.apply_chat_template(
            CHATS[chat], tokenize=True, add_generation_prompt=True
        )["input_ids"]
        return ids


@dataclass(frozen=True)
class Recorded:
    """All of CHATS, recorded with answers of TOKENS tokens at most."""

    run: Run
    summary: RecordSummary
    samples: Path


@pytest.fixture(scope="session", params=["smollm2", "gemma3"])
def real(request: pytest.FixtureRequest) -> Iterator[Real]:
    """One model after the other, so that only one is in memory."""
    torch.set_num_threads(1)
    folder = FOLDER / request.param
    if not folder.is_dir():
        pytest.skip(f"{folder.name}: there is no checkpoint; `make real` says why")
    hf.utils.logging.disable_progress_bar()
    model = hf.AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    yield Real(folder.name, folder, folder.with_suffix(".gguf"), tokenizer, model)
    del model


@pytest.fixture(scope="session")
def recorded(real: Real, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Every chat, with every signal and a row a layer."""
    folder = tmp_path_factory.mktemp(real.name)
    samples = write_samples(folder / "samples.jsonl", list(CHATS))
    config = RecordConfig(model=str(real.folder), level="layers", max_new_tokens=TOKENS)
    summary = record(samples, folder / "run", config)
    return Recorded(open_run(folder / "run"), summary, samples)


def write_samples(path: Path, names: list[str]) -> Path:
    """A samples file of the named CHATS."""
    rows = [json.dumps({"id": name, "messages": CHATS[name]}) for name in names]
    path.write_text("\n".join(rows), "utf-8")
    return path
