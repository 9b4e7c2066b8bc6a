"""`rawatt`: attention of the last layer, mean over its heads (DESIGN §5)."""

from __future__ import annotations

import torch

from recorder.signals.kinds import AttentionSignal, LayerRows


def _reduce(seen: LayerRows) -> torch.Tensor | None:
    return seen.rows.mean(dim=1) if seen.layer == seen.layers - 1 else None


SIGNAL = AttentionSignal(_reduce)
