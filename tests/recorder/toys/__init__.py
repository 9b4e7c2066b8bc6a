"""Toy checkpoints of many families, with random weights, saved as anyone could load them."""

from __future__ import annotations

from tests.recorder.toys import audio, bundled, omni, text, tiles, vision
from tests.recorder.toys.bundled import tokenizer
from tests.recorder.toys.common import Toy, hf, sizes

TOYS: dict[str, Toy] = {
    **bundled.TOYS,
    **text.TOYS,
    **audio.TOYS,
    **vision.TOYS,
    **tiles.TOYS,
    **omni.TOYS,
}

__all__ = ["TOYS", "Toy", "hf", "sizes", "tokenizer"]
