"""`rawatt`: attention of the last layer that attends, mean over its heads (DESIGN §5)."""

from __future__ import annotations

import torch

from recorder.signals.kinds import AttentionSignal, LayerRows


def _reduce(seen: LayerRows) -> torch.Tensor | None:
    return seen.rows.mean(dim=1) if seen.last else None


SIGNAL = AttentionSignal(_reduce)
