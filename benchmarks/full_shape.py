"""A thinker with the full shape of Qwen2.5-Omni records text, an image, audio and a video on a CPU.

Its weights are random bfloat16 and never held in float32; the tokenizer is the bundled model's,
with words added to the full vocabulary; the processor takes the published sizes. Each sample is
answered plainly (sdpa), then recorded with all signals of the level `tokens`. Measured: the seconds
of both, and the process's peak memory to the bytes of the weights and to the peak of plain answers.

    python -m benchmarks.full_shape [--size 3b|7b] [--quick] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers

from benchmarks.common import Claim, peak_bytes, print_claims, save
from omnitrace.store.run import open_run
from omnitrace.store.writer import RunWriter
from omnitrace.timeline import Modality
from recorder.config import TINY_OMNI, RecordConfig
from recorder.inputs.samples import Sample, read_samples
from recorder.models.qwen_omni import QwenOmni
from recorder.models.settings import Settings
from recorder.passes.capture import confirm, install
from recorder.planted.media import Audio, Image, Video, write_audio, write_image, write_video
from recorder.tags import load_tagger
from recorder.tracer import Tracer

hf: Any = transformers
"""Its constructors are untyped."""

STEPS = 16
SECONDS = 4
"""Of the audio and of the video."""
VIDEO_FPS = 8
IMAGE_SIZE = (252, 336)
VIDEO_SIZE = (240, 320)
"""Height and width in pixels."""
MEL_BINS = 128
IMAGE_PIXELS = {"shortest_edge": 56 * 56, "longest_edge": 3584 * 3584}
"""Fewest and most pixels of an image, as the published processor has them."""
VIDEO_PIXELS = {"shortest_edge": 128 * 28 * 28, "longest_edge": 768 * 28 * 28}
"""Of a frame of a video."""
ROPE = {"rope_type": "default", "rope_theta": 1_000_000.0, "mrope_section": [16, 24, 24]}


@dataclass(frozen=True)
class Shape:
    """The text decoder: layers, width, inner width, heads and key-value heads of 128 each, words;
    `tower_layers` of the vision and of the audio tower."""

    layers: int
    width: int
    inner: int
    heads: int
    groups: int
    words: int
    tower_layers: int = 32


SHAPES = {
    "3b": Shape(36, 2048, 11_008, 16, 2, 151_936),
    "7b": Shape(28, 3584, 18_944, 28, 4, 152_064),
    "quick": Shape(2, 512, 1024, 4, 2, 4096, tower_layers=2),
}


def build_processor(folder: Path, words: int) -> Any:
    """The bundled processor with a vocabulary of `words` tokens and the published sizes."""
    shutil.copytree(TINY_OMNI, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    _edit(folder / "tokenizer.json", lambda about: _add_words(about, words))
    _edit(folder / "tokenizer_config.json", lambda about: about.pop("size"))
    processor = hf.Qwen2_5OmniProcessor.from_pretrained(folder)
    processor.image_processor.size = IMAGE_PIXELS
    processor.video_processor.size = VIDEO_PIXELS
    processor.feature_extractor = hf.WhisperFeatureExtractor(
        feature_size=MEL_BINS, chunk_length=300, return_attention_mask=True
    )
    return processor


def _edit(path: Path, change: Any) -> None:
    about = json.loads(path.read_text("utf-8"))
    change(about)
    path.write_text(json.dumps(about), "utf-8")


def _add_words(about: dict[str, Any], words: int) -> None:
    known = [token["id"] for token in about["added_tokens"]]
    vocabulary = about["model"]["vocab"]
    vocabulary |= {f"Ġw{n}": n for n in range(1 + max(*vocabulary.values(), *known), words)}


def build_model(shape: Shape, tokenizer: Any) -> Any:
    """A thinker with random weights in bfloat16."""
    torch.manual_seed(0)
    config = hf.Qwen2_5OmniThinkerConfig(
        text_config={
            "vocab_size": shape.words,
            "hidden_size": shape.width,
            "intermediate_size": shape.inner,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.groups,
            "rope_parameters": ROPE,
        },
        vision_config={
            "depth": shape.tower_layers,
            "hidden_size": 1280,
            "out_hidden_size": shape.width,
        },
        audio_config={"encoder_layers": shape.tower_layers, "output_dim": shape.width},
        audio_token_index=tokenizer.audio_token_id,
        image_token_index=tokenizer.image_token_id,
        video_token_index=tokenizer.video_token_id,
        audio_start_token_id=tokenizer.audio_bos_token_id,
        audio_end_token_id=tokenizer.audio_eos_token_id,
        vision_start_token_id=tokenizer.vision_bos_token_id,
        vision_end_token_id=tokenizer.vision_eos_token_id,
        tie_word_embeddings=False,
    )
    made = hf.Qwen2_5OmniThinkerForConditionalGeneration._from_config(config, dtype=torch.bfloat16)
    made.generation_config.eos_token_id = tokenizer.eos_token_id
    return made.requires_grad_(False).eval()


def write_samples(folder: Path) -> Path:
    """Four samples: text, an image, audio, and a video with sound."""
    rng = np.random.default_rng(0)
    audio = Audio(rng.normal(0, 0.1, SECONDS * Audio.rate).astype(np.float32))
    frames = np.stack([_pixels(rng, VIDEO_SIZE) for _ in range(SECONDS * VIDEO_FPS)])
    write_image(Image(_pixels(rng, IMAGE_SIZE)), folder / "image.png")
    write_audio(audio, folder / "audio.wav")
    write_video(Video(frames, VIDEO_FPS, audio), folder / "video.mp4")
    media = {"image": "image.png", "audio": "audio.wav", "video": "video.mp4"}
    question = {"type": "text", "text": "The parcel weighs seven kilos. What does it weigh?"}
    contents = {"text": [question]} | {
        kind: [{"type": kind, kind: name}, question] for kind, name in media.items()
    }
    rows = [
        json.dumps({"id": kind, "messages": [{"role": "user", "content": content}]})
        for kind, content in contents.items()
    ]
    path = folder / "samples.jsonl"
    path.write_text("\n".join(rows), "utf-8")
    return path


def _pixels(rng: np.random.Generator, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Blocks of colours, so that a video of them is small."""
    blocks = rng.integers(0, 256, (*(edge // 12 for edge in size), 3), np.uint8)
    return blocks.repeat(12, axis=0).repeat(12, axis=1)


def measure(shape: Shape) -> dict[str, Any]:
    """Answer the four samples plainly, then record them; what it took."""
    hf.utils.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        before, began = os.getloadavg()[0], time.perf_counter()
        processor = build_processor(folder / "processor", shape.words)
        model = build_model(shape, processor.tokenizer)
        weights = sum(p.numel() * p.element_size() for p in model.parameters())
        found: dict[str, Any] = {
            "threads": torch.get_num_threads(),
            "load average of the minute before": before,
            "parameters": sum(p.numel() for p in model.parameters()),
            "dtypes": sorted({str(p.dtype) for p in model.parameters()}),
            "seconds to make the model": time.perf_counter() - began,
        }
        peaks = {"weights": weights, "peak with the model made": peak_bytes()}
        adapter = QwenOmni(model, processor, Settings())
        samples = read_samples(write_samples(folder))
        plain = {sample.id: timed(partial(answer, adapter, sample)) for sample in samples}
        peaks["peak of plain answers"] = peak_bytes()
        found["samples"] = record(adapter, samples, folder / "run")
    peaks["peak"] = peak_bytes()
    for id, sample in found["samples"].items():
        sample["plain answer"] = plain[id]
    return found | {
        "bytes": peaks,
        "peak to weights": peaks["peak"] / weights,
        "peak to that of plain answers": peaks["peak"] / peaks["peak of plain answers"],
    }


def timed(work: Callable[[], Any]) -> dict[str, float]:
    """Seconds by the clock, and those of all threads together."""
    began, cpu_began = time.perf_counter(), time.process_time()
    work()
    return {
        "seconds": time.perf_counter() - began,
        "CPU seconds": time.process_time() - cpu_began,
    }


def answer(adapter: QwenOmni, sample: Sample) -> None:
    """Answer as transformers does."""
    with torch.inference_mode():
        adapter.model.generate(
            **adapter.prepare(sample).inputs, max_new_tokens=STEPS, do_sample=False
        )


def record(adapter: QwenOmni, samples: Sequence[Sample], run: Path) -> dict[str, dict[str, Any]]:
    """Record the samples into `run`: for each its tokens, its time, and how far from 1 the sum of
    a row of `attmean` is at most."""
    install(adapter.model, adapter.decoder)
    confirm(adapter.model, adapter.layers)
    tracer = Tracer(adapter, load_tagger(None), RecordConfig(max_new_tokens=STEPS))
    off = "largest distance of a row's sum from 1"
    with RunWriter.open(run, {}) as writer:

        def add(sample: Sample) -> None:
            [trace] = tracer.traces([tracer.prepare(sample)])
            writer.add(trace, sample.id)

        times = {sample.id: timed(partial(add, sample)) for sample in samples}
    return {
        id: {
            "prompt tokens": trace.n,
            "response tokens": trace.T,
            "modalities": {
                kind.label: int((trace.timeline.modality == kind).sum()) for kind in Modality
            },
            "signals": sorted(trace.signals),
            off: float(np.abs(trace.scores("attmean").sum(1) - 1).max()),
            "recording": times[id],
        }
        for id, trace in open_run(run).items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=("3b", "7b"), default="3b")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measure(SHAPES["quick" if given.quick else given.size])
    print(json.dumps(found, indent=1))
    if not given.quick:
        save("full_shape", found, "" if given.size == "3b" else f"-{given.size}")
    if given.json:
        recorded = sum(sample["response tokens"] == STEPS for sample in found["samples"].values())
        print_claims(
            [
                Claim("samples recorded", recorded, 4, "higher"),
                Claim("peak memory to weights", found["peak to weights"], 1.25, "lower"),
                Claim(
                    "peak memory to that of plain answers",
                    found["peak to that of plain answers"],
                    1.1,
                    "lower",
                ),
            ]
        )


if __name__ == "__main__":
    main()
