"""What vLLM-Hook saved becomes a run whose rows are the model's own attention, or is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from omnitrace import open_run
from omnitrace.cli import main
from omnitrace.errors import OmniTraceError
from omnitrace.exchange.vllm_hook import read_vllm_hook
from omnitrace.trace import Trace
from replay import PRESETS
from replay.rows import rows_of
from tests.omnitrace.exchange.vllm_layout import request, write_hook, write_requests

HEADS = (4, 2)
LAYERS = 3
N, T = 9, 5
MAX_BYTES = 2**24
GOLDEN = Path(__file__).parents[2] / "golden" / "format-1.0" / "store"


class Engine:
    """A small Qwen2 that notes, as vLLM-Hook does, what each layer's attention is given."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        torch.manual_seed(0)
        config = transformers.Qwen2Config(
            vocab_size=60,
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS[0],
            num_key_value_heads=HEADS[1],
            initializer_range=0.3,
        )
        model: Any = transformers.Qwen2ForCausalLM(config)
        model.set_attn_implementation("eager")
        self.model = model.to(dtype).eval()
        self.ids = torch.randint(0, 60, (1, N + T), generator=torch.Generator().manual_seed(1))

    def passes(self, lengths: list[int], monkeypatch: pytest.MonkeyPatch) -> dict[int, Any]:
        """Layer → (queries, keys) of forward passes over so many tokens each."""
        found: dict[int, Any] = {layer: ([], []) for layer in range(LAYERS)}
        module: Any = transformers.models.qwen2.modeling_qwen2
        attend = module.eager_attention_forward

        def noting(layer: Any, query: Any, key: Any, *args: Any, **rest: Any) -> Any:
            new = query.shape[2]
            for kept, values in zip(found[layer.layer_idx], (query, key[:, :, -new:]), strict=True):
                kept.append(values[0].transpose(0, 1).reshape(new, -1).clone())
            return attend(layer, query, key, *args, **rest)

        monkeypatch.setattr(module, "eager_attention_forward", noting)
        cache, start = transformers.DynamicCache(), 0
        with torch.inference_mode():
            for length in lengths:
                piece = self.ids[:, start : start + length]
                self.model(piece, past_key_values=cache, use_cache=True)
                start += length
        monkeypatch.undo()
        return found

    def rows(self) -> Any:
        """(layers, heads, T, n + T): the model's own attention, row t of the query of step t."""
        with torch.inference_mode():
            found = self.model(self.ids, output_attentions=True).attentions
        rows = torch.stack(found)[:, 0, :, N - 1 : N + T - 1].float().numpy().copy()
        for step in range(T):
            assert not rows[:, :, step, N + step :].any()
        return rows


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


def trace_of(folder: Path, line: dict[str, Any], max_bytes: int = MAX_BYTES) -> Trace:
    tokens = write_requests(folder / "tokens.jsonl", line)
    [(trace, _)] = read_vllm_hook(folder, tokens, max_bytes)[1]
    return trace


WAYS = {
    "decoded": ([N, *[1] * (T - 1)], "all_tokens", 1),
    "decoded, last queries": ([N, *[1] * (T - 1)], "last_token", 1),
    "the prompt in pieces": ([4, 4, N - 8, *[1] * (T - 1)], "last_token", 1),
    "given as a prompt": ([N + T], "all_tokens", 1),
    "in pieces that end anywhere": ([N - 2, 4, T - 2], "all_tokens", 1),
    "one pass too many": ([N, *[1] * T], "last_token", 1),
    "two ranks": ([N, *[1] * (T - 1)], "all_tokens", 2),
    "four ranks, keys twice": ([N, *[1] * (T - 1)], "last_token", 4),
}


@pytest.mark.parametrize("way", WAYS)
def test_rows_are_the_models_own(
    way: str, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths, mode, ranks = WAYS[way]
    write_hook(tmp_path / "a-run", engine.passes(lengths, monkeypatch), HEADS, mode, ranks)
    tokens = write_requests(tmp_path / "tokens.jsonl", request(N, T, LAYERS))
    command = ["import", str(tmp_path), str(tmp_path / "run"), "--tokens", str(tokens)]
    assert main(command) == 0
    assert main([*command, "--source", "vllm-hook"]) == 0
    trace, expected = open_run(tmp_path / "run")["a-run"], engine.rows()
    config = PRESETS["default"]
    for signal, rows in {
        "attmean": expected.mean((0, 1)),
        "rawatt": expected[-1].mean(0),
        "attention": expected.mean((0, 1)),
    }.items():
        found = rows_of(trace, replace(config, signal=signal)).dense()
        np.testing.assert_allclose(found, rows, atol=1e-5, rtol=0)
    one = rows_of(trace, replace(config, signal="attention", heads="1.2")).dense()
    np.testing.assert_allclose(one, expected[1, 2], atol=1e-5, rtol=0)


def test_every_command_works_on_it(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    lengths = WAYS["decoded"][0]
    write_hook(tmp_path / "a-run", engine.passes(lengths, monkeypatch), HEADS)
    line = request(N, T, LAYERS, id="mine", logprobs=[-0.5] * T)
    tokens, run = write_requests(tmp_path / "t", line), str(tmp_path / "run")
    assert main(["import", str(tmp_path), run, "--tokens", str(tokens)]) == 0
    trace = open_run(run)["mine"]
    assert trace.response == " a0 a1 a2 a3 a4"
    assert trace.prompt_text.startswith(" p0 p1 ")
    assert trace.logprob.tolist() == [-0.5] * T
    assert open_run(run).identity["model"] == "tiny"
    capsys.readouterr()
    assert main(["replay", run, "--signal", "attmean", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["samples"][0]["id"] == "mine"
    assert main(["verify", run, "--deep"]) == 0
    assert main(["export", run, str(tmp_path / "run.h5")]) == 0
    other = write_requests(tmp_path / "t", line | {"logprobs": [-1.0] * T})
    assert main(["import", str(tmp_path), run, "--tokens", str(other)]) == 2
    assert "holds another sample 'mine'" in capsys.readouterr().err


def test_some_layers_are_kept_by_layer(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = engine.passes([N + T], monkeypatch)
    write_hook(tmp_path / "a-run", {layer: passes[layer] for layer in (2, 1)}, HEADS)
    trace = trace_of(tmp_path, request(N, T, LAYERS))
    assert (list(trace.signals), trace.layers_of("attention")) == (["attention"], (1, 2))
    found = trace.scores("attention", layers=[2, 1])
    np.testing.assert_allclose(found, engine.rows()[[2, 1]].mean(1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_its_bits(
    dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = Engine(dtype).passes([N, *[1] * (T - 1)], monkeypatch)
    write_hook(tmp_path / "a-run", passes, HEADS)
    inner = trace_of(tmp_path, request(N, T, LAYERS)).queries_and_keys()
    keys = torch.cat(passes[2][1]).reshape(N + T - 1, 2, 8).transpose(0, 1).contiguous()
    queries = torch.cat(passes[0][0])[N - 1 :].reshape(T, 4, 8).transpose(0, 1).contiguous()
    for found, given in ((inner.keys[2], keys), (inner.queries[0], queries)):
        assert found.tobytes() == given.view(torch.uint16).numpy().tobytes()


def test_an_attention_multiplier_is_the_scaling(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_hook(tmp_path / "a-run", engine.passes([N + T], monkeypatch), HEADS)
    granite = {"model_type": "granite", "num_hidden_layers": LAYERS, "attention_multiplier": 0.02}
    trace = trace_of(tmp_path, request(N, T, LAYERS, config=granite))
    assert trace.queries_and_keys().scaling.tolist() == [0.02] * LAYERS


def test_an_answer_of_no_token_and_of_one(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_hook(tmp_path / "a-run", engine.passes([N], monkeypatch), HEADS)
    assert trace_of(tmp_path, request(N, 0, LAYERS)).T == 0
    trace = trace_of(tmp_path, request(N, 1, LAYERS))
    expected = engine.rows()[:, :, 0, :N].mean((0, 1))
    np.testing.assert_allclose(trace.scores("attmean")[0, :N], expected, atol=1e-5, rtol=0)


@pytest.fixture
def saved(tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Path:
    lengths = WAYS["decoded"][0]
    write_hook(tmp_path / "a-run", engine.passes(lengths, monkeypatch), HEADS)
    return tmp_path


QK = "a-run/tp_rank_0/qk.json"
TENSORS = "a-run/tp_rank_0/qk.safetensors"


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ({"run_id": "../a-run"}, "there is no such folder"),
        ({"run_id": "tokens.jsonl"}, "tokens.jsonl: Not a directory"),
        ({"run_id": "a-run/tp_rank_0"}, "there is no such folder"),
        ({"prompt_token_ids": [1], "prompt_tokens": ["x"]}, "it holds 13 tokens; .* has 5 or 6"),
        ({"prompt_tokens": ["x"]}, "line 1: it has 1 prompt_tokens for 9 token ids"),
        ({"logprobs": [0.0]}, "line 1: it has 1 logprobs for 5 token ids"),
        ({"token_ids": [2**31] * T}, "line 1: .*token_ids"),
        ({"token_ids": ["1"] * T}, "line 1: .*token_ids"),
        ({"surprise": 1}, "line 1: .*surprise"),
        ({"config": {"model_type": "gemma2", "num_hidden_layers": 3}}, "'gemma2' may be more"),
        ({"config": {"model_type": "qwen2"}}, "num_hidden_layers"),
        ({"config": {"model_type": "qwen2", "n_layer": 2}}, "layer 2 of a model of 2"),
        (
            {"config": {"model_type": "mistral", "n_layer": 3, "sliding_window": 13}},
            "sliding window of 13",
        ),
        (
            {"config": {"model_type": "llama", "n_layer": 3, "attn_logit_softcapping": 50.0}},
            "caps scores",
        ),
    ],
)
def test_requests_that_are_not_legal_are_one_sentence(
    saved: Path, over: dict[str, Any], words: str
) -> None:
    with pytest.raises(OmniTraceError, match=f"^{saved}.*{words}"):
        trace_of(saved, request(N, T, LAYERS, **over))


def changed(path: Path, **over: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | over))


def of_tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def harm(folder: Path) -> None:
        tensors = load_file(folder / TENSORS)
        change(tensors)
        save_file(tensors, folder / TENSORS)

    return harm


def pickled(folder: Path) -> None:
    (folder / TENSORS).rename(folder / "a-run/tp_rank_0/qk.pt")


def linked(folder: Path) -> None:
    (folder / TENSORS).rename(folder / "elsewhere")
    (folder / TENSORS).symlink_to(folder / "elsewhere")


def without_a_rank(folder: Path) -> None:
    (folder / "a-run/tp_rank_0").rename(folder / "a-run/tp_rank_1")


FIRST = "model__layers__1__self_attn__attn__"
HARMS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a pickle": (pickled, "qk.pt is a pickle.*VLLM_HOOK_USE_SAFETENSORS=1"),
    "a link": (linked, "symbolic link"),
    "no first rank": (without_a_rank, "tp_rank_0, tp_rank_1"),
    "no json": (lambda f: (f / QK).unlink(), "cannot read .*qk.json: No such file"),
    "no document": (lambda f: (f / QK).write_text("{"), "tp_rank_0/qk.json is not legal"),
    "another mode": (lambda f: changed(f / QK, hookq_mode="x"), "qk.json is not legal"),
    "a batch": (lambda f: changed(f / QK, seq_lens=[N, N, 1, 1, 1, 1]), "it holds 22 tokens"),
    "other chunks": (lambda f: changed(f / QK, seq_lens=[N, T - 1]), r"is \[5, 9, 32\], not"),
    "heads": (
        lambda f: changed(
            f / QK, config={"num_attention_heads": 7, "num_key_value_heads": 2}
        ),
        "32 wide, which is not 7 heads",
    ),
    "groups": (
        lambda f: changed(
            f / QK, config={"num_attention_heads": 4, "num_key_value_heads": 4}
        ),
        "has queries .* for keys",
    ),
    "a layer twice": (
        lambda f: changed(f / QK, layer_order=json.loads((f / QK).read_text())["layer_order"] * 2),
        "names a layer twice",
    ),
    "no tensors": (lambda f: (f / TENSORS).write_bytes(b"x" * 20), "qk.safetensors: it is no"),
    "cut": (
        lambda f: (f / TENSORS).write_bytes((f / TENSORS).read_bytes()[:-8]),
        "does not fit its place",
    ),
    "a tensor gone": (of_tensors(lambda t: t.pop(f"{FIRST}k")), f"no tensor '{FIRST}k'"),
    "no numbers": (of_tensors(lambda t: t[f"{FIRST}k"].view(-1)[0:1].fill_(torch.nan)), "finite"),
    "infinity": (of_tensors(lambda t: t[f"{FIRST}q"][-1, 0].fill_(torch.inf)), "not finite"),
    "too large": (of_tensors(lambda t: [x.fill_(3e38) for x in t.values()]), "too large"),
    "another width": (
        of_tensors(lambda t: t.update({f"{FIRST}k": torch.zeros(5, 9, 12)})),
        "has queries .* for keys",
    ),
    "integers": (
        of_tensors(lambda t: t.update({f"{FIRST}k": torch.zeros(5, 9, 16, dtype=torch.int32)})),
        "header is not legal",
    ),
}  # fmt: skip


@pytest.mark.parametrize("harm", HARMS)
def test_folders_that_are_not_legal_are_one_sentence(saved: Path, harm: str) -> None:
    change, words = HARMS[harm]
    change(saved)
    with pytest.raises(OmniTraceError, match=f"^{saved}/a-run: .*{words}"):
        trace_of(saved, request(N, T, LAYERS))


def test_memory_is_refused_before_it_is_taken(saved: Path) -> None:
    with pytest.raises(OmniTraceError, match="more than --max-bytes 5000"):
        trace_of(saved, request(N, T, LAYERS), 5000)


def test_a_query_that_was_not_saved_is_named(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = engine.passes([N, 1, 2, 1], monkeypatch)
    write_hook(tmp_path / "a-run", passes, HEADS, "last_token")
    with pytest.raises(OmniTraceError, match="query of token 10 was not saved"):
        trace_of(tmp_path, request(N, T, LAYERS))


@pytest.mark.parametrize("data", [b"", b"\n\n", b"{", b"[]", b"\xff", b"[" * 10**5])
def test_what_are_no_requests_is_one_sentence(tmp_path: Path, data: bytes) -> None:
    tokens = tmp_path / "tokens.jsonl"
    tokens.write_bytes(data)
    with pytest.raises(OmniTraceError, match=f"^{tokens}"):
        read_vllm_hook(tmp_path, tokens, MAX_BYTES)


def test_requests_of_two_models_are_refused(tmp_path: Path) -> None:
    lines = request(N, T, LAYERS), request(N, T, LAYERS, model="other")
    tokens = write_requests(tmp_path / "tokens.jsonl", *lines)
    with pytest.raises(OmniTraceError, match="request 2 is of another model"):
        read_vllm_hook(tmp_path, tokens, MAX_BYTES)


def test_it_is_used_wrongly(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokens, file, run = str(write_requests(saved / "t", {})), str(saved / QK), str(saved / "run")
    for arguments, words in (
        ([str(saved), run], "give --tokens FILE with --source vllm-hook"),
        ([file, run, "--tokens", tokens], "and with that alone"),
        ([file, run, "--source", "vllm-hook", "--tokens", tokens], "is no folder"),
        ([str(saved), run, "--source", "inseq"], "is a folder; only vLLM-Hook"),
        ([str(saved / "none"), run], "there is no file"),
        ([str(GOLDEN), run], "is a run already: omnitrace copy"),
    ):
        assert main(["import", *arguments]) == 2
        assert words in " ".join(capsys.readouterr().err.split())
    assert not (saved / "run").exists()


def test_sentencepiece_bytes_are_spelt(saved: Path) -> None:
    pieces = ["▁A", "<0xC3>", "<0xA9>", "</s>", "<0x0A>"]
    trace = trace_of(saved, request(N, T, LAYERS, tokens=pieces, prompt_tokens=["▁p"] * N))
    assert trace.response == " Aé\n"
    assert trace.chars.tolist() == [[0, 2], [2, 2], [2, 3], [3, 3], [3, 4]]
