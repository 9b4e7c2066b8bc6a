"""`flow`: mean over attending layers of the share of the residual stream after attention that a
token's value is near to (Ferrando & Voita, arXiv 2403.00824; recorder/passes/flow.py).

A row sums to 1 at most: the rest is what the residual stream already held.
"""

from __future__ import annotations

import torch

from recorder.signals.kinds import FlowSignal


def _reduce(edges: torch.Tensor) -> torch.Tensor:
    return edges.mean(dim=0)


SIGNAL = FlowSignal(_reduce, usual=False)
