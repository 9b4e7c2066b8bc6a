"""How often the tiny omni model is exactly right: fresh samples, written to files, read back.

Feeds the model as any user of `Qwen2_5OmniProcessor` would; greedy decoding.
`python -m training.omni_check` measures the bundled model and writes `results/omni.json`.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import Qwen2_5OmniProcessor, Qwen2_5OmniThinkerForConditionalGeneration

from recorder.config import TINY_OMNI
from recorder.inputs import media
from recorder.planted.samples import KINDS, SPLITS, make_sample, write_samples

RESULTS = Path(__file__).parent / "results" / "omni.json"
FPS = 2.0
RATE = 16_000
MAX_NEW_TOKENS = 160


def measure(
    model: Any,
    processor: Any,
    seeds: Sequence[int],
    kinds: Sequence[str] = KINDS,
) -> dict[str, float]:
    """Share of sentences exactly right, by kind of sample."""
    model.eval()
    return {kind: _measure_kind(model, processor, seeds, kind) for kind in kinds}


def _measure_kind(
    model: Any,
    processor: Any,
    seeds: Sequence[int],
    kind: str,
) -> float:
    right = total = 0
    with tempfile.TemporaryDirectory() as folder:
        write_samples([make_sample(seed, kind) for seed in seeds], Path(folder))
        samples, truth = (_rows(Path(folder) / f"{n}.jsonl") for n in ("samples", "truth"))
        for sample, true in zip(samples, truth, strict=True):
            response = answer(model, processor, sample["messages"], Path(folder))
            good, count = compare(response, [sentence["text"] for sentence in true["sentences"]])
            right, total = right + good, total + count
    return right / total


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def compare(response: str, true: Sequence[str]) -> tuple[int, int]:
    """Sentences that are right at their place, and how many there are (a surplus one is wrong)."""
    given = re.split(r"(?<=\.) ", response)
    right = sum(a == b for a, b in zip(given, true, strict=False))
    return right, max(len(given), len(true))


def answer(
    model: Any,
    processor: Any,
    messages: list[dict[str, Any]],
    folder: Path,
) -> str:
    """The model's greedy answer to a sample whose media lie under `folder`."""
    inputs, has_audio = prepare(processor, messages, folder)
    with torch.inference_mode():
        ids = model.generate(
            **inputs, use_audio_in_video=has_audio, do_sample=False, max_new_tokens=MAX_NEW_TOKENS
        )
    new = ids[0, inputs["input_ids"].shape[1] :]
    text: str = processor.tokenizer.decode(new, skip_special_tokens=True)
    return text


def prepare(
    processor: Any, messages: list[dict[str, Any]], folder: Path
) -> tuple[dict[str, torch.Tensor], bool]:
    """Model inputs, and whether videos bring their audio."""
    text = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    images: list[Any] = []
    videos: list[Any] = []
    audios: list[Any] = []
    video_of_audio: list[int | None] = []
    for part in (part for message in messages for part in message["content"]):
        if part["type"] == "image":
            images.append(media.load_image(folder / part["image"]))
        elif part["type"] == "audio":
            audios.append(media.load_audio(folder / part["audio"], RATE))
            video_of_audio.append(None)
        elif part["type"] == "video":
            video = media.load_video(folder / part["video"], FPS, RATE)
            if video.audio is not None:
                audios.append(video.audio)
                video_of_audio.append(len(videos))
            videos.append(video.frames)
    has_audio = any(index is not None for index in video_of_audio)
    audio_in_videos = {"load_audio_from_video": True, "audio_from_video_indices": video_of_audio}
    inputs = processor(
        text=[text],
        images=images or None,
        videos=videos or None,
        audio=audios or None,
        return_tensors="pt",
        videos_kwargs={"fps": FPS, "do_sample_frames": False},
        **(audio_in_videos if has_audio else {}),
    )
    return inputs, has_audio


def report(model: Any, processor: Any, fresh: int, results: Path) -> None:
    """Measure on the first `fresh` test seeds of each kind, write `results` and print it."""
    shares = measure(model, processor, SPLITS["test"][:fresh])
    found = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "samples_of_each_kind": fresh,
        "sentences_exactly_right": {kind: round(share, 4) for kind, share in shares.items()},
    }
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=TINY_OMNI)
    parser.add_argument("--fresh", type=int, default=100, help="fresh samples of each kind")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    processor = Qwen2_5OmniProcessor.from_pretrained(arguments.model)
    thinker: Any = Qwen2_5OmniThinkerForConditionalGeneration
    report(thinker.from_pretrained(arguments.model), processor, arguments.fresh, arguments.results)


if __name__ == "__main__":
    main()
