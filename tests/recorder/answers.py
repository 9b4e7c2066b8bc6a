"""Recording one prompt alone, for tests."""

from __future__ import annotations

from dataclasses import replace

from recorder.adapter import Adapter, Prepared
from recorder.draw import Options
from recorder.generate import Answer, Wanted, generate
from recorder.signals import GRADIENT_SIGNALS, SIGNALS

ATTENTION = Wanted(SIGNALS)
EVERYTHING = replace(ATTENTION, gradients=GRADIENT_SIGNALS)


def answer_one(
    adapter: Adapter, prepared: Prepared, options: Options, wanted: Wanted = ATTENTION
) -> Answer:
    [answer] = generate(adapter, [prepared], options, wanted)
    return answer
