"""What the finer levels keep equals the eager model's own attention, and survives the store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import transformers

from omnitrace.attention import QueryKeys
from omnitrace.errors import CommandError
from omnitrace.store.run import open_run
from omnitrace.store.writer import RunWriter
from omnitrace.trace import SignalRows
from recorder.ablation.base import base_units
from recorder.config import RecordConfig
from recorder.inputs.samples import Sample
from recorder.models.qwen_omni import QwenOmni
from recorder.passes.capture import install, watching
from recorder.passes.observers import Lengths, QueriesAndKeys
from recorder.tags import load_tagger
from recorder.tracer import Tracer, signal_names
from replay import ReplayConfig, Replayer
from tests.recorder.passes.test_capture import PROMPTS, attentions_of, eager, rows_of  # noqa: F401

Trace = Any


def record_at(level: str, adapter: QwenOmni, sample: Sample) -> Trace:
    config = RecordConfig(level=level, max_new_tokens=6)
    tracer = Tracer(adapter, load_tagger(None), config)
    [trace] = tracer.traces([tracer.prepare(sample)])
    return trace


@pytest.fixture
def stored(tmp_path: Path) -> Callable[[Trace], Trace]:
    """The trace after it went to the disk and back."""

    def store(trace: Trace) -> Trace:
        with RunWriter.open(tmp_path / "run", {}) as writer:
            writer.add(trace, "key")
        return open_run(tmp_path / "run")[trace.id]

    return store


def eager_rows(model: Any, prepared: Any, steps: int) -> list[npt.NDArray[np.float32]]:
    """(layers, heads, keys) of each step."""
    found = attentions_of(model, dict(prepared.inputs), steps)[:steps]
    return [attention[:, :, -1].numpy() for attention in found]


def test_layers_keep_a_row_a_layer(
    adapter: QwenOmni,
    eager: Any,  # noqa: F811
    make_sample: Callable[..., Sample],
    stored: Callable[[Trace], Trace],
) -> None:
    sample = make_sample(*PROMPTS["images"])
    trace = stored(record_at("layers", adapter, sample))
    expected = eager_rows(eager, adapter.prepare(sample), trace.T)
    found = trace.scores("attention", layers=[3, 1])
    for t, attention in enumerate(expected):
        row = found[:, t, : trace.n + t]
        np.testing.assert_allclose(row, attention[[3, 1]].mean(1), atol=1e-6, rtol=0)
    mean = trace.scores("attention")
    np.testing.assert_allclose(mean, trace.scores("attmean"), atol=1e-6, rtol=0)
    signed = trace.scores("gradients", layers=range(adapter.layers)).mean(0)
    scale = np.abs(signed).max()
    np.testing.assert_allclose(signed.clip(0), trace.scores("attgrads"), atol=1e-6 * scale)


@pytest.mark.parametrize(
    ("layers", "reduced"), [("attention", "attmean"), ("gradients", "attgrads")]
)
def test_all_layers_replayed_are_the_signal_over_layers(
    layers: str, reduced: str, adapter: QwenOmni, make_sample: Callable[..., Sample]
) -> None:
    replayer = Replayer(record_at("layers", adapter, make_sample(*PROMPTS["images"])))
    every = ",".join(map(str, range(adapter.layers)))
    expected = replayer.mass(ReplayConfig(signal=reduced))
    for choice in ("", every):
        found = replayer.mass(ReplayConfig(signal=layers, layers=choice))
        np.testing.assert_allclose(found, expected, atol=2e-6 * expected.max())
    last = replayer.mass(ReplayConfig(signal=layers, layers=str(adapter.layers - 1)))
    assert not np.allclose(last, expected, atol=1e-3 * expected.max())


@pytest.mark.parametrize("kind", ["mixed", "text"])
def test_heads_keep_each_heads_mass_on_each_unit(
    kind: str,
    adapter: QwenOmni,
    eager: Any,  # noqa: F811
    make_sample: Callable[..., Sample],
    stored: Callable[[Trace], Trace],
) -> None:
    sample = make_sample(*PROMPTS[kind])
    trace = stored(record_at("heads", adapter, sample))
    base, heads = base_units(trace), trace.heads()
    expected = eager_rows(eager, adapter.prepare(sample), trace.T)
    assert heads.mass.shape == (adapter.layers, 4, trace.T, len(base))
    assert np.array_equal(heads.unit_of, base.unit_of)
    for t, attention in enumerate(expected):
        for unit in range(len(base)):
            tokens = np.flatnonzero(base.unit_of == unit)
            mass = attention[:, :, tokens].sum(-1)
            # A mass sums many weights, each within 1e-6 of the eager pass's.
            np.testing.assert_allclose(heads.mass[:, :, t, unit], mass, atol=3e-6, rtol=0)


@pytest.mark.parametrize("kind", PROMPTS)
def test_queries_and_keys_give_any_row_again(
    kind: str,
    adapter: QwenOmni,
    eager: Any,  # noqa: F811
    make_sample: Callable[..., Sample],
    stored: Callable[[Trace], Trace],
) -> None:
    sample = make_sample(*PROMPTS[kind])
    trace = stored(record_at("qk", adapter, sample))
    inner = trace.queries_and_keys()
    expected = eager_rows(eager, adapter.prepare(sample), trace.T)
    assert trace.T > 1
    for layer in range(adapter.layers):
        rows = inner.rows(layer)
        assert rows.shape == (4, trace.T, trace.n + trace.T)
        for t, attention in enumerate(expected):
            found = rows[:, t, : trace.n + t]
            # One head's own row, summed in another order than torch's: no mean evens it out.
            np.testing.assert_allclose(found, attention[layer], atol=5e-6, rtol=0)
            assert not rows[:, t, trace.n + t :].any()


def test_windows_and_bfloat16_are_kept() -> None:
    torch.manual_seed(0)
    config = transformers.MistralConfig(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=5,
    )
    model: Any = transformers.MistralForCausalLM(config).bfloat16()
    ids = torch.randint(0, 50, (1, 13))
    install(model, "")
    watched = QueriesAndKeys(Lengths((10,)))
    with torch.inference_mode(), watching(watched):
        cache = transformers.DynamicCache()
        for piece in (ids[:, :10], ids[:, 10:]):
            model(piece, past_key_values=cache, use_cache=True)
    inner = watched.values(0, 4)
    assert inner.keys.dtype == np.uint16
    assert inner.windows.tolist() == [5, 5]
    rows = inner.rows(1)
    np.testing.assert_allclose(rows.sum(-1), 1, atol=1e-6)
    assert (rows[:, 2] > 0).sum(-1).tolist() == [5] * 4
    model.set_attn_implementation("eager")
    with torch.inference_mode():
        whole = model(ids, output_attentions=True).attentions[1][0]
    np.testing.assert_allclose(rows[:, 3, :13], whole[:, 12].float(), atol=5e-3, rtol=0)


def test_no_step_has_no_rows() -> None:
    inner = QueryKeys(
        np.zeros((1, 2, 0, 4), np.float32),
        np.ones((1, 1, 3, 4), np.float32),
        np.ones(1),
        np.zeros(1, np.int32),
    )
    assert inner.rows(0).shape == (2, 0, 3)


def test_a_level_that_was_not_recorded(adapter: QwenOmni, make_sample: Any) -> None:
    trace = record_at("tokens", adapter, make_sample(*PROMPTS["text"]))
    with pytest.raises(CommandError, match="record it again with --level heads"):
        trace.heads()
    with pytest.raises(CommandError, match="--level qk"):
        trace.queries_and_keys()


def test_signals_can_be_chosen() -> None:
    assert signal_names(RecordConfig(signals="rawatt, attmean")) == ["attmean", "rawatt"]
    assert "attention" in signal_names(RecordConfig(level="layers"))
    with pytest.raises(CommandError, match="level tokens has no signal 'attention'"):
        signal_names(RecordConfig(signals="attention"))


def value_norms(model: Any, inputs: dict[str, Any], steps: int) -> list[list[torch.Tensor]]:
    """‖v W_O‖, (heads, keys), of each layer at each step, by way of the layers' own modules."""
    values: dict[int, list[torch.Tensor]] = {}
    hooks = [
        layer.self_attn.v_proj.register_forward_hook(
            lambda _, __, out, i=i: values.setdefault(i, []).append(out[0])
        )
        for i, layer in enumerate(model.model.language_model.layers)
    ]
    model.generate(**inputs, max_new_tokens=steps, do_sample=False)
    for hook in hooks:
        hook.remove()
    found = []
    for i, layer in enumerate(model.model.language_model.layers):
        value = torch.cat(values[i])
        groups = value.reshape(len(value), 2, -1).repeat_interleave(2, dim=1)
        output = layer.self_attn.o_proj.weight
        size = groups.shape[-1]
        lengths = [
            (groups[:, h] @ output[:, h * size : (h + 1) * size].T).norm(dim=-1) for h in range(4)
        ]
        found.append(torch.stack(lengths))
    return [list(found) for _ in range(steps)]


@pytest.mark.parametrize("kind", ["text", "mixed"])
def test_attnorm_weighs_attention_by_what_it_carries(
    kind: str,
    adapter: QwenOmni,
    eager: Any,  # noqa: F811
    make_sample: Callable[..., Sample],
) -> None:
    sample = make_sample(*PROMPTS[kind])
    trace = record_at("tokens", adapter, sample)
    prepared = adapter.prepare(sample)
    expected = eager_rows(eager, prepared, trace.T)
    norms = value_norms(eager, dict(prepared.inputs), trace.T)
    rows = rows_of(SignalRows(trace.rows("attnorm").values), trace.n, trace.T)
    for t, attention in enumerate(expected):
        weighted = [
            (attention[layer] * norms[t][layer][:, : trace.n + t].detach().numpy()).sum(0)
            for layer in range(adapter.layers)
        ]
        np.testing.assert_allclose(rows[t], np.mean(weighted, axis=0), rtol=1e-4, atol=1e-6)
