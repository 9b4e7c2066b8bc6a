"""Recording one prompt alone, for tests."""

from __future__ import annotations

from dataclasses import replace

from recorder.models.adapter import Adapter, Prepared
from recorder.passes.generate import Answer, GenerationOptions, generate
from recorder.passes.observers import CaptureOptions
from recorder.signals import GRADIENT_SIGNALS, SIGNALS

ATTENTION = CaptureOptions(SIGNALS)
EVERYTHING = replace(ATTENTION, gradients=GRADIENT_SIGNALS)


def answer_one(
    adapter: Adapter,
    prepared: Prepared,
    options: GenerationOptions,
    wanted: CaptureOptions = ATTENTION,
) -> Answer:
    [answer] = generate(adapter, [prepared], options, wanted)
    return answer
