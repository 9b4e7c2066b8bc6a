"""The signals: how attention, layer by layer, becomes one row of scores a step, or one a layer.

A new signal is one file here that defines `SIGNAL`, and one line below. Knows tensors; not where
they come from nor where they go.
"""

from __future__ import annotations

from collections.abc import Mapping

from recorder.signals import (
    attention,
    attfull,
    attgrads,
    attgrads_last,
    attgrads_odds,
    attgrads_positive,
    attmean,
    attnorm,
    attvisible,
    flow,
    gradients,
    rawatt,
)
from recorder.signals.kinds import AttentionSignal, FlowSignal, GradientSignal

SIGNALS: Mapping[str, AttentionSignal] = {
    "attmean": attmean.SIGNAL,
    "attfull": attfull.SIGNAL,
    "attvisible": attvisible.SIGNAL,
    "rawatt": rawatt.SIGNAL,
    "attnorm": attnorm.SIGNAL,
    "attention": attention.SIGNAL,
}
"""What reads attention as it passes. Those `by_layer` are recorded at level `layers` alone."""

GRADIENT_SIGNALS: Mapping[str, GradientSignal] = {
    "attgrads": attgrads.SIGNAL,
    "attgrads-last": attgrads_last.SIGNAL,
    "attgrads-odds": attgrads_odds.SIGNAL,
    "attgrads-positive": attgrads_positive.SIGNAL,
    "gradients": gradients.SIGNAL,
}
"""What is read from the gradients once the answer is known."""

FLOW_SIGNALS: Mapping[str, FlowSignal] = {
    "flow": flow.SIGNAL,
}
"""What is read from values and the residual stream once the answer is known."""

EVERY: Mapping[str, AttentionSignal | GradientSignal | FlowSignal] = {
    **SIGNALS,
    **GRADIENT_SIGNALS,
    **FLOW_SIGNALS,
}
