"""What inseq saved becomes a run: the very scores, the text that the tokens spell, no classes."""

from __future__ import annotations

import base64
import gzip
import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

from omnitrace import open_run
from omnitrace.cli import main
from omnitrace.errors import OmniTraceError
from omnitrace.exchange.inseq import read_inseq
from omnitrace.exchange.safetensors import tensors
from omnitrace.store.commit import Unreadable
from replay import PRESETS, attribute

MODULE = "inseq.data.attribution"
TOKENS = ["<s>", "ĠAnna", "Ġis", "ĠJosÃ©", "'s", "Ġcat", ".", "ĠYes", ",", "ĠðŁ", "Ĳ±"]


def instance(name: str, **attributes: Any) -> dict[str, Any]:
    return {"__instance_type__": [MODULE, name], "attributes": attributes}


def token(text: str, id: Any = 0) -> dict[str, Any]:
    return instance("TokenWithId", token=text, id=id)


def encoded(tensor: torch.Tensor) -> str:
    return base64.b64encode(save({"attribution": tensor.contiguous()})).decode()


def saved(kind: str = "FeatureAttributionSequenceOutput", **over: Any) -> dict[str, Any]:
    """A decoder-only recording: 7 prompt tokens, 4 generated."""
    scores = torch.rand(11, 4, generator=torch.Generator().manual_seed(0))
    for step in range(4):
        scores[7 + step :, step] = torch.nan
    tokens = [instance("TokenWithId", token=token, id=i) for i, token in enumerate(TOKENS)]
    fields: dict[str, Any] = {
        "source": tokens[:7],
        "target": tokens,
        "source_attributions": None,
        "target_attributions": encoded(scores),
        "step_scores": {"probability": encoded(torch.tensor([0.5, 0.25, 1.0, 0.125]))},
        "sequence_scores": {},
        "attr_pos_start": 7,
        "attr_pos_end": 11,
        "_aggregator": "subwords",
    }
    return instance(kind, **(fields | over))


def write(path: Path, *sequences: Any, pack: bool = False) -> Path:
    info = {"attribution_method": "Integrated Gradients", "model_name": "gpt2", "x": None}
    whole = instance("FeatureAttributionOutput", info=info, sequence_attributions=list(sequences))
    data = json.dumps(whole).encode()
    path.write_bytes(gzip.compress(data) if pack else data)
    return path


def scores_of(sequence: dict[str, Any], name: str = "target_attributions") -> Any:
    return tensors(base64.b64decode(sequence["attributes"][name]))["attribution"]


@pytest.mark.parametrize("pack", [False, True])
def test_a_recording_becomes_a_run_that_replays(
    tmp_path: Path, pack: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    sequence = saved()
    file = write(tmp_path / "out.json", sequence, saved(), pack=pack)
    assert main(["import", str(file), str(tmp_path / "run")]) == 0
    assert main(["import", str(file), str(tmp_path / "run")]) == 0
    run = open_run(tmp_path / "run")
    assert list(run) == ["0", "1"]
    assert run.identity["model"] == "gpt2"
    trace = run["0"]
    assert (trace.prompt_text, trace.response) == (" Anna is José's cat.", " Yes, 🐱")
    spelt = [trace.response[start:end] for start, end in trace.chars.tolist()]
    assert "".join(spelt) == trace.response
    assert spelt[:2] == [" Yes", ","]
    found, given = trace.scores("integrated-gradients"), scores_of(sequence)
    for step in range(4):
        assert np.array_equal(found[step, : 7 + step], given[: 7 + step, step])
    assert trace.logprob == pytest.approx(np.log([0.5, 0.25, 1.0, 0.125]))
    assert trace.timeline.modality.tolist() == [4, 0, 0, 0, 0, 0, 0]
    config = replace(PRESETS["default"], signal="integrated-gradients")
    assert len(attribute(trace, config).spans) == 1


def test_an_encoder_decoder_has_its_source_and_its_prefix_as_prompt(tmp_path: Path) -> None:
    tokens = [
        instance("TokenWithId", token=t, id=i) for i, t in enumerate(["▁Hallo", "▁Welt", "</s>"])
    ]
    answer = [
        instance("TokenWithId", token=t, id=i) for i, t in enumerate(["<pad>", "▁Hello", "▁world"])
    ]
    source, target = torch.rand(3, 2), torch.rand(3, 2)
    sequence = saved(
        source=tokens,
        target=answer,
        source_attributions=encoded(source),
        target_attributions=encoded(target),
        step_scores={},
        attr_pos_start=1,
        attr_pos_end=3,
    )
    [(trace, _)] = read_inseq(write(tmp_path / "o.json", sequence))[1]
    assert (trace.prompt_text, trace.response) == (" Hallo Welt", " Hello world")
    found = trace.scores("integrated-gradients")
    assert np.array_equal(found[:, :3], source.numpy().T)
    assert found[0, 3] == target[0, 0]
    assert found[1, 3:5].tolist() == target[:2, 1].tolist()
    assert np.isnan(trace.logprob).all()


def test_hidden_units_become_their_norm_and_layers_and_heads_their_mean(tmp_path: Path) -> None:
    ways: list[tuple[str, tuple[int, ...], Callable[[Any], Any]]] = [
        ("GranularFeatureAttributionSequenceOutput", (16,), lambda x: np.linalg.norm(x, axis=-1)),
        ("MultiDimensionalFeatureAttributionSequenceOutput", (3, 5), lambda x: x.mean((-1, -2))),
    ]
    for kind, width, reduce in ways:
        scores = torch.rand(11, 4, *width)
        file = write(tmp_path / "o.json", saved(kind, target_attributions=encoded(scores)))
        [(trace, _)] = read_inseq(file)[1]
        expected = reduce(scores.numpy())
        assert trace.scores("integrated-gradients")[2, :9] == pytest.approx(expected[:9, 2])


def test_every_precision_that_inseq_writes_is_read() -> None:
    values = torch.tensor([[0.0, -0.5, 1.75, 448.0, 2.0**-9]])
    for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float64):
        found = tensors(save({"attribution": values.to(dtype)}))["attribution"]
        assert np.array_equal(found, values.to(dtype).to(torch.float32).numpy())
    every = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn)
    found = tensors(save({"a": every}))["a"]
    assert np.array_equal(found, every.to(torch.float32).numpy(), equal_nan=True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 8,
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 2**40) + b"{}",
        *(
            struct.pack("<Q", len(header)) + header + b"\0" * 8
            for header in (
                b'{"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}',
                b'{"a": {"dtype": "F32", "shape": [1099511627776], "data_offsets": [0, 8]}}',
                b'{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}',
                b'{"a": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]}}',
                b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}',
            )
        ),
    ],
)
def test_what_is_no_safetensors_file_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable):
        tensors(data)


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ({"attr_pos_start": 12}, "it attributes tokens 12 to 11 of 11"),
        ({"attr_pos_start": 0}, "it has no prompt"),
        ({"target_attributions": None}, "no attributions"),
        ({"target_attributions": encoded(torch.rand(11, 3))}, r"are \(11, 3\), not \(11, 4\)"),
        ({"target_attributions": encoded(torch.rand(11))}, "not tokens by steps"),
        ({"target_attributions": "%%%"}, "."),
        ({"target_attributions": [["x"]]}, "."),
        ({"step_scores": {"probability": [0.5]}}, "1 values of probability for 4 steps"),
        ({"target": [{"token": 1}]}, "Expected `str`"),
    ],
)
def test_what_is_not_legal_is_one_sentence(
    tmp_path: Path, over: dict[str, Any], words: str
) -> None:
    file = write(tmp_path / "o.json", saved(**over))
    with pytest.raises(OmniTraceError, match=f"{file}, sequence 0: .*{words}"):
        list(read_inseq(file)[1])


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b"\x1f\x8bxx", b"[" * 10**5, b'"x"'])
def test_what_is_no_recording_is_one_sentence(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "o.json"
    file.write_bytes(data)
    with pytest.raises(OmniTraceError, match=str(file)):
        list(read_inseq(file)[1])


def test_what_cannot_be_read_leaves_no_run_behind(tmp_path: Path) -> None:
    harmed = write(tmp_path / "harmed.json", saved(target_attributions="!"))
    assert main(["import", str(harmed), str(tmp_path / "run")]) == 1
    assert not (tmp_path / "run").exists()
