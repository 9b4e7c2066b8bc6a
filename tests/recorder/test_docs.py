"""The page "add a model" is true: its adapter is run on a toy model."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from omnitrace.timeline import Modality
from recorder.inputs.samples import Sample
from recorder.models import adapter as adapters
from recorder.models.adapter import Adapter, describe_model, load_adapter
from recorder.models.settings import Weights
from recorder.passes.capture import confirm, install
from recorder.passes.generate import GenerationOptions
from tests.recorder.answers import answer_one
from tests.recorder.passes.test_capture import rows_of
from tests.recorder.toys import hf, sizes, tokenizer

PAGE = Path(__file__).parents[2] / "docs" / "add-a-model.md"


def test_the_adapter_of_the_page_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_sample: Callable[..., Sample]
) -> None:
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    module = ModuleType("recorder.models.plain_text")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(code, "plain_text.py", "exec"), module.__dict__)
    monkeypatch.setitem(adapters.ADAPTERS, "gpt_neox", module.__name__)
    torch.manual_seed(0)
    tokens = tokenizer()
    tokens.chat_template = None
    keys = ("num_key_value_heads", "head_dim")
    config = {name: value for name, value in sizes(tokens).items() if name not in keys}
    hf.GPTNeoXForCausalLM(hf.GPTNeoXConfig(**config)).save_pretrained(tmp_path)
    tokens.save_pretrained(tmp_path)

    adapter = load_adapter(describe_model(str(tmp_path)), Weights("float32", "cpu"))
    install(adapter.model, adapter.decoder)
    confirm(adapter.model, adapter.layers)
    prepared = adapter.prepare(make_sample("The lamp costs forty euros.", " What does it cost?"))
    assert adapter.decode(prepared.prompt.prompt_ids.tolist()) == (
        "user:\nThe lamp costs forty euros. What does it cost?\nassistant:\n"
    )
    assert prepared.prompt.prompt_text == "The lamp costs forty euros. What does it cost?"
    assert (prepared.prompt.timeline.modality == Modality.TEXT).any()
    answer = answer_one(adapter, prepared, GenerationOptions(max_new_tokens=4))
    check_rows(adapter, prepared.inputs, answer)


def check_rows(adapter: Adapter, inputs: Any, answer: Any) -> None:
    """`attmean` equals the eager model's."""
    n, steps = inputs["input_ids"].shape[1], len(answer.ids)
    ids = torch.cat([inputs["input_ids"], torch.tensor([answer.ids.tolist()])], dim=1)
    adapter.model.set_attn_implementation({adapter.decoder: "eager"})
    with torch.inference_mode():
        layers = adapter.model(input_ids=ids, output_attentions=True).attentions
    means = torch.stack(layers)[:, 0].mean((0, 1))
    for t, row in enumerate(rows_of(answer.signals["attmean"], n, steps)):
        np.testing.assert_allclose(row, means[n - 1 + t, : n + t], atol=1e-6, rtol=0)


def test_every_name_on_the_page_is_there() -> None:
    text = PAGE.read_text("utf-8")
    root = PAGE.parents[1]
    for path in re.findall(r"`((?:recorder|tests)/[\w/.]+\.py)`", text):
        assert path == "recorder/models/plain_text.py" or (root / path).is_file(), path
    for member in ("model", "decoder", "layers", "max_tokens", "eos_ids", "prepare", "decode"):
        assert member in Adapter.__annotations__ or hasattr(Adapter, member)
        assert f"`{member}" in text
