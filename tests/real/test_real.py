"""Released models are recorded exactly: their prompts, answers, attention rows and gradients."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from omnitrace.cli import main
from omnitrace.store.run import open_run
from omnitrace.trace import Trace
from recorder.config import RecordConfig
from recorder.record import record
from tests.real.chats import CHATS, WATER
from tests.real.conftest import TOKENS, Real, Recorded, write_samples

pytestmark = pytest.mark.real

ANSWERS = {
    "france": "The capital of France is Paris.",
    "japan": "The capital of Japan is Tokyo.",
    "boat": "The boat is in the harbour.",
}
WINDOW = 512
"""Of Gemma's sliding layers, in tokens."""


@contextmanager
def eager(real: Real, dtype: torch.dtype = torch.float32) -> Iterator[Any]:
    """The model of transformers, in `dtype`, with attention that it returns."""
    real.model.set_attn_implementation("eager")
    try:
        yield real.model.to(dtype)
    finally:
        real.model.to(torch.float32).set_attn_implementation("sdpa")


def ids_of(trace: Trace, steps: int) -> torch.Tensor:
    """(1, n + steps): the prompt and the first tokens of the response."""
    ids = np.concatenate([trace.prompt_ids, trace.response_ids[:steps]])
    return torch.from_numpy(ids.astype(np.int64))[None]


def test_every_chat_is_recorded(recorded: Recorded) -> None:
    assert recorded.summary.failed == {}
    assert list(recorded.run) == list(CHATS)


@pytest.mark.parametrize("chat", CHATS)
def test_prompts_are_those_of_the_template(chat: str, real: Real, recorded: Recorded) -> None:
    ids = recorded.run[chat].prompt_ids.tolist()
    assert ids == real.prompt_ids(chat)
    if real.name == "gemma3":
        assert real.tokenizer.bos_token_id == 2
        assert (ids[0], ids.count(2)) == (2, 1)
    else:  # its BOS begins every turn; the template adds a system turn where there is none
        turns = len(CHATS[chat]) + (CHATS[chat][0]["role"] != "system") + 1
        assert (ids[0], ids.count(real.tokenizer.bos_token_id)) == (1, turns)


@pytest.mark.parametrize("chat", ANSWERS)
def test_the_models_answer(chat: str, recorded: Recorded) -> None:
    assert recorded.run[chat].response.startswith(ANSWERS[chat])


def test_the_models_know_english(real: Real) -> None:
    """Perplexity, per token, of a text: 14.6 and 13.4 when the bound was chosen."""
    ids = real.tokenizer(WATER, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        loss = real.model(ids, labels=ids).loss
    assert float(loss.exp()) < 20


@pytest.mark.parametrize("chat", ["boat", "system", "parcels"])
def test_rows_are_those_of_eager_attention(chat: str, real: Real, recorded: Recorded) -> None:
    """In float64. Measured distances from it, ours and transformers' own eager in float32: of
    attmean 3e-7 and 3e-7, of rawatt 1.4e-6 and 1.1e-6, of a row of any layer 5e-6 and 4e-6."""
    trace = recorded.run[chat]
    n, layers = trace.n, list(range(real.model.config.num_hidden_layers))
    means, lasts = trace.scores("attmean"), trace.scores("rawatt")
    by_layer = trace.scores("attention", layers)
    with eager(real, torch.float64) as model, torch.no_grad():
        # The last token of the response predicts nothing that was recorded.
        out = model(ids_of(trace, trace.T - 1), output_attentions=True, use_cache=False)
    logprobs = out.logits[0, n - 1 :].log_softmax(-1)
    attention = torch.stack([layer[0].mean(0)[n - 1 :] for layer in out.attentions])
    assert trace.T > 1
    for t in range(trace.T):
        rows = attention[:, t, : n + t].numpy()
        np.testing.assert_allclose(means[t, : n + t], rows.mean(0), atol=1e-6, rtol=0)
        np.testing.assert_allclose(lasts[t, : n + t], rows[-1], atol=3e-6, rtol=0)
        np.testing.assert_allclose(by_layer[:, t, : n + t], rows, atol=2e-5, rtol=0)
        expected = float(logprobs[t, trace.response_ids[t]])
        assert trace.logprob[t] == pytest.approx(expected, abs=1e-4)


def test_layers_with_a_window_see_no_further(real: Real, recorded: Recorded) -> None:
    trace = recorded.run["parcels"]
    kinds = getattr(real.model.config, "layer_types", None)
    assert (kinds is not None) == (real.name == "gemma3")
    assert trace.n > WINDOW + 100
    rows = trace.scores("attention", list(range(real.model.config.num_hidden_layers)))
    sees_all = [kind == "full_attention" for kind in kinds or ["full_attention"] * len(rows)]
    for t in range(trace.T):
        before = rows[:, t, : trace.n + t - WINDOW]
        assert (before.max(-1) > 0).tolist() == sees_all


def test_gradients_are_those_of_autograd(real: Real, recorded: Recorded) -> None:
    """Of two steps; where layers have a window, beyond it too."""
    for chat in ["france", "parcels"] if real.name == "gemma3" else ["france"]:
        trace = recorded.run[chat]
        found = trace.scores("attgrads")
        for t in range(2):
            expected, bound = attention_gradients(real, ids_of(trace, t), trace.response_ids[t])
            assert expected.max() > bound
            row = found[t, : trace.n + t]
            np.testing.assert_allclose(row, expected, atol=bound, rtol=0)


def attention_gradients(
    real: Real, ids: torch.Tensor, token: int
) -> tuple[npt.NDArray[np.float32], float]:
    """max(0, mean over layers and heads of A ⊙ ∂z/∂A) of the last of `ids` (1, k), z the logit of
    `token`: (k,), and 1e-5 of its largest summand."""
    with eager(real) as model:
        out = model(ids, output_attentions=True, use_cache=False, logits_to_keep=1)
    gradients = torch.autograd.grad(out.logits[0, -1, int(token)], out.attentions)
    pairs = zip(out.attentions, gradients, strict=True)
    signed = torch.stack([(a * g)[0, :, -1].detach() for a, g in pairs])
    return signed.mean((0, 1)).clamp_min(0).numpy(), 1e-5 * float(signed.abs().max())


@pytest.mark.parametrize("chat", CHATS)
def test_answers_are_those_of_plain_generation(chat: str, real: Real, recorded: Recorded) -> None:
    trace = recorded.run[chat]
    prompt = torch.tensor([real.prompt_ids(chat)])
    out = real.model.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=TOKENS, do_sample=False
    )
    expected = out[0, prompt.shape[1] :].tolist()
    ends = real.model.generation_config.eos_token_id
    if len(expected) < TOKENS:
        assert expected.pop() in ([ends] if isinstance(ends, int) else ends)
    assert trace.response_ids.tolist() == expected
    assert trace.response == real.tokenizer.decode(expected)


def test_given_answers_are_recorded_as_generated_ones(
    real: Real, recorded: Recorded, tmp_path: Path
) -> None:
    given = [
        json.dumps({"id": id, "token_ids": trace.response_ids.tolist()})
        for id, trace in recorded.run.items()
    ]
    (tmp_path / "given.jsonl").write_text("\n".join(given), "utf-8")
    config = RecordConfig(
        model=str(real.folder), level="layers", responses=str(tmp_path / "given.jsonl")
    )
    assert record(recorded.samples, tmp_path / "run", config).failed == {}
    forced = open_run(tmp_path / "run")
    for id, trace in recorded.run.items():
        other = forced[id]
        assert other.response == trace.response
        np.testing.assert_allclose(other.logprob, trace.logprob, atol=1e-4, rtol=0)
        assert set(other.signals) == set(trace.signals)
        for name in trace.signals:
            a, b = trace.rows(name).values, other.rows(name).values
            bound = 1e-5 * max(1.0, float(np.abs(a).max()))
            np.testing.assert_allclose(a, b, atol=bound, rtol=0)


def test_the_command_line_records_and_attributes_an_answer(
    real: Real, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = write_samples(tmp_path / "samples.jsonl", ["water"])
    run = str(tmp_path / "run")
    command = ["record", str(samples), run, "--model", str(real.folder)]
    assert main([*command, "--max-new-tokens", "30"]) == 0
    assert main(["verify", run, "--deep"]) == 0
    assert open_run(tmp_path / "run")["water"].T == 30
    capsys.readouterr()
    assert main(["replay", run, "--json"]) == 0
    [sample] = json.loads(capsys.readouterr().out)["samples"]
    for span in sample["spans"]:
        assert span["text"] == sample["response"][span["start"] : span["end"]]
    units = {unit["id"] for unit in sample["units"]}
    sources = [source for span in sample["spans"] for source in span["sources"]]
    assert sources
    assert {source["unit"] for source in sources} <= units


def test_a_gguf_file_is_recorded_as_its_checkpoint(
    real: Real, recorded: Recorded, tmp_path: Path
) -> None:
    samples = write_samples(tmp_path / "samples.jsonl", ["france", "system"])
    command = ["record", str(samples), str(tmp_path / "run"), "--model", str(real.gguf)]
    # Gemma's file has no chat template.
    own = real.name == "smollm2"
    template = [] if own else ["--chat-template", str(real.folder / "chat_template.jinja")]
    assert main([*command, *template, "--max-new-tokens", str(TOKENS)]) == 0
    run = open_run(tmp_path / "run")
    assert list(run) == ["france", "system"]
    for id, trace in run.items():
        assert trace.prompt_ids.tolist() == recorded.run[id].prompt_ids.tolist()
        assert trace.response_ids.tolist() == recorded.run[id].response_ids.tolist()
        assert trace.response == recorded.run[id].response
