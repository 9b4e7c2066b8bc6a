"""Recording one prompt alone, for tests."""

from __future__ import annotations

from dataclasses import replace

from recorder.models.adapter import Adapter, Prepared
from recorder.passes.draw import Options
from recorder.passes.generate import Answer, Wanted, generate
from recorder.signals import GRADIENT_SIGNALS, SIGNALS

ATTENTION = Wanted(SIGNALS)
EVERYTHING = replace(ATTENTION, gradients=GRADIENT_SIGNALS)


def answer_one(
    adapter: Adapter, prepared: Prepared, options: Options, wanted: Wanted = ATTENTION
) -> Answer:
    [answer] = generate(adapter, [prepared], options, wanted)
    return answer
