"""Similarity by a tiny CLIP with random weights: texts and pictures, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
import transformers

from omnitrace import CommandError, Run
from omnitrace.baseline import BaselineConfig
from omnitrace.timeline import Modality
from recorder.baselines.clip import Clip, load
from replay.baselines.similarity import chunks_of
from replay.evaluation import judging_space

hf: Any = transformers


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of two layers that reads letters, at most 20 tokens of them."""
    folder = tmp_path_factory.mktemp("clip")
    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{each}</w>" for each in letters)]
    (folder / "vocab.json").write_text(json.dumps({word: n for n, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokens = hf.CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    tokens.model_max_length = 20
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 2}
    ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    text = {**sizes, **ends, "vocab_size": len(words), "max_position_embeddings": 20}
    vision = {**sizes, "image_size": 28, "patch_size": 14}
    torch.manual_seed(0)
    config = hf.CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
    hf.CLIPModel(config).save_pretrained(folder)
    pixels = hf.CLIPImageProcessor(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}
    )
    hf.CLIPProcessor(image_processor=pixels, tokenizer=tokens).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip(checkpoint: Path, samples: Path) -> Clip:
    return load({}, BaselineConfig(samples=str(samples), model=str(checkpoint), device="cpu"))


def test_texts_and_pictures_are_compared(
    run: Run, clip: Clip, checkpoint: Path, folder: Path
) -> None:
    """GIVEN the checkpoint's own logits THEN our cosines times its scale are these."""
    trace = run["mixed"]
    space, found = judging_space(trace), clip.similarities(trace, chunks_of(trace))
    said = [trace.response[start:end] for start, end in trace.sentences.tolist()]
    model = hf.CLIPModel.from_pretrained(checkpoint).eval()
    processor = hf.CLIPProcessor.from_pretrained(checkpoint)
    photo, tall = (PIL.Image.open(folder / name) for name in ("photo.png", "tall.jpg"))
    paper = PIL.Image.new("RGBA", photo.size, "white")
    shown = [
        PIL.Image.alpha_composite(paper, photo.convert("RGBA")).convert("RGB"),
        tall.transpose(PIL.Image.Transpose.ROTATE_270),
    ]
    batch = processor(text=said, images=shown, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        logits = model(**batch).logits_per_text.numpy() / model.logit_scale.exp().item()
    image = np.flatnonzero(space.kind == Modality.IMAGE)
    np.testing.assert_allclose(found[:, image], logits, atol=1e-5)
    assert np.isnan(found[:, space.kind == Modality.AUDIO]).all()
    assert np.isfinite(found[:, space.kind == Modality.TEXT]).all()


def test_a_text_is_most_like_itself(run: Run, clip: Clip) -> None:
    """GIVEN a response that repeats a sentence of the prompt THEN their cosine is 1."""
    trace = run["plain"]
    chunks = chunks_of(trace)
    own = np.flatnonzero(chunks.owner == 0)
    start, end = trace.timeline.chars[own[0], 0], trace.timeline.chars[own[-1], 1]
    repeated = trace.prompt_text[start:end]
    said = replace(chunks, sentences=np.array([[0, len(repeated)]], np.int32))
    found = clip.similarities(replace(trace, response=repeated), said)
    assert found[0, 0] == pytest.approx(1.0)
    assert found[0].argmax() == 0


def test_a_checkpoint_that_is_none_is_named(samples: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"cannot load the CLIP '.*nowhere'"):
        load({}, BaselineConfig(samples=str(samples), model=str(tmp_path / "nowhere")))
