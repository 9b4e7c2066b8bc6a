"""Quantised weights and weights that are spread out: loaded, watched, and recorded as exactly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from omnitrace.errors import CommandError
from recorder.config import RecordConfig
from recorder.inputs.samples import Sample
from recorder.models.adapter import Adapter, describe_model, load_adapter
from recorder.models.settings import Weights
from recorder.passes.capture import confirm, install
from recorder.passes.generate import GenerationOptions
from tests.recorder.answers import ATTENTION, answer_one
from tests.recorder.families.models import FACT
from tests.recorder.passes.test_capture import attentions_of, rows_of
from tests.recorder.toys import TOYS

# bitsandbytes and accelerate on a CPU: says which kernels it would rather have.
pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning", "ignore:.*:FutureWarning")


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    TOYS["llama"](folder)
    return folder


def load(folder: Path, weights: Weights) -> Adapter:
    return load_adapter(describe_model(str(folder)), weights)


@pytest.mark.parametrize(
    "weights",
    [Weights("float32", "cpu", quantize="8bit"), Weights("float32", device_map="cpu")],
    ids=["8bit", "device map"],
)
def test_rows_are_those_of_the_model_as_it_is_loaded(
    weights: Weights, llama: Path, make_sample: Callable[..., Sample]
) -> None:
    adapter = load(llama, weights)
    install(adapter.model, adapter.decoder)
    confirm(adapter.model, adapter.layers)
    prepared = adapter.prepare(make_sample(FACT))
    answer = answer_one(adapter, prepared, GenerationOptions(max_new_tokens=3), ATTENTION)
    adapter.model.set_attn_implementation({adapter.decoder: "eager"})
    # 8 bits turn the last digit, in which eager and sdpa differ, into the third.
    bound = 1e-6 if weights.quantize == "no" else 5e-3
    attentions = attentions_of(adapter.model, dict(prepared.inputs), len(answer.ids))
    means = rows_of(answer.signals["attmean"], prepared.prompt.n, len(answer.ids))
    for mean, attention in zip(means, attentions, strict=True):
        np.testing.assert_allclose(mean, attention[:, :, -1].mean((0, 1)), atol=bound, rtol=0)
    assert np.isfinite(answer.signals["attnorm"].values).all()


def test_quantised_weights_are_quantised(llama: Path) -> None:
    model = load(llama, Weights("float32", "cpu", quantize="8bit")).model
    assert model.model.layers[0].self_attn.q_proj.weight.dtype == torch.int8


def test_a_device_map_that_is_none(llama: Path) -> None:
    with pytest.raises(CommandError, match="cannot load the model"):
        load(llama, Weights("float32", device_map="everywhere"))


def test_weights_come_from_the_configuration() -> None:
    config = RecordConfig(dtype="bfloat16", device="cpu", quantize="4bit", device_map="auto")
    assert Weights.of(config) == Weights("bfloat16", "cpu", "auto", "4bit")
    options = Weights.of(config).options
    assert options["device_map"] == "auto"
    assert options["quantization_config"].load_in_4bit
