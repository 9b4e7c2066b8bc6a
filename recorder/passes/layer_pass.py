"""One attending layer in one forward pass: its queries, keys and values, and the rows they make.

Rows are exact for grouped heads, windows, any mask, capped scores and attention sinks. Knows
tensors; not where they come from nor who looks at them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

MAX_SCORES = 1 << 24
"""Elements of one block of rows over all heads where the output is computed from rows: 64 MB."""


@dataclass(frozen=True)
class LayerPass:
    """One decoder layer in one forward pass over a batch, on its way to the fast attention.

    `query` (batch, heads, q, d); `key` (batch, groups, k, d), `value` (batch, groups, k, e), the
    last q of k the queries' own. `mask` alone says which queries see which keys if it broadcasts to
    (batch, heads, q, k), boolean or added; if it is None or (batch, k), a query sees its own and
    the earlier keys, of `window` at most. `softcap` c: scores are c · tanh(score / c). `sinks`
    (heads,) are scores of a column after the keys, which takes its share of the softmax and carries
    no value.
    """

    module: Any
    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    mask: torch.Tensor | None
    scaling: float
    window: int | None = None
    softcap: float | None = None
    sinks: torch.Tensor | None = None

    @cached_property
    def layer(self) -> int:
        return int(self.module.layer_idx)

    @cached_property
    def _last_rows(self) -> dict[int, torch.Tensor]:
        return {}

    def last_rows(self, count: int) -> torch.Tensor:
        """The rows of the last `count` queries, computed once for all observers."""
        if count not in self._last_rows:
            queries = self.query.shape[2]
            self._last_rows[count] = self.rows(queries - count, queries)
        return self._last_rows[count]

    def rows(self, start: int, end: int) -> torch.Tensor:
        """Softmax rows of queries start … end - 1: (batch, heads, end - start, keys that the last
        of them may see) float32. With sinks they leave the sink's column out and sum to less than
        1; of a query that may see nothing (padding) they are NaN."""
        reach = self.key.shape[2] - self.query.shape[2] + end
        scores = attention_scores(self.query[:, :, start:end], self.key[:, :, :reach], self.scaling)
        return softmax_rows(scores, self.allowed(start, end, reach), self.softcap, self.sinks)

    def output(self) -> torch.Tensor:
        """What the queries attend to, A V: (batch, q, heads, e) in the value's dtype; of a query
        that may see nothing, zeros."""
        batch, heads, queries, _ = self.query.shape
        block = max(1, MAX_SCORES // (batch * heads * self.key.shape[2]))
        found = []
        for start in range(0, queries, block):
            rows = self.rows(start, min(start + block, queries)).nan_to_num(0)
            value = self.value[:, :, : rows.shape[3]].float()
            grouped = rows.reshape(batch, value.shape[1], -1, rows.shape[3])
            found.append((grouped @ value).reshape(*rows.shape[:3], -1))
        return torch.cat(found, dim=2).to(self.value.dtype).transpose(1, 2).contiguous()

    def allowed(self, start: int, end: int, reach: int) -> torch.Tensor | None:
        """Which of the first `reach` keys each of these queries may see, boolean or added, to be
        broadcast to (batch, heads, end - start, reach); None: all."""
        mask = self.mask
        if mask is not None and mask.dim() == 4:
            return mask[..., start:end, :reach]
        own = None
        if end - start > 1 or self.window:
            keys = torch.arange(reach, device=self.key.device)
            last = keys[reach - (end - start) :, None]
            own = keys <= last
            if self.window:
                own &= keys > last - self.window
        if mask is None:
            return own
        padded = mask[:, None, None, :reach].bool()
        return padded if own is None else padded & own


def attention_scores(query: torch.Tensor, key: torch.Tensor, scaling: float) -> torch.Tensor:
    """q kᵀ · scaling in float32: (batch, heads, q, d), (batch, groups, k, d) to (batch, heads, q,
    k)."""
    batch, heads, queries, width = query.shape
    groups = key.shape[1]
    # Heads that share keys stand side by side as queries, so that keys are never repeated.
    q = query.float().reshape(batch, groups, heads // groups * queries, width)
    scores = (q @ key.float().transpose(-1, -2)).mul_(scaling)
    return scores.reshape(batch, heads, queries, key.shape[2])


def softmax_rows(
    scores: torch.Tensor,
    mask: torch.Tensor | None,
    softcap: float | None = None,
    sinks: torch.Tensor | None = None,
) -> torch.Tensor:
    """Rows (batch, heads, q, k) of scores of that shape, which are overwritten.

    `mask` is added, or where it is boolean lets through; `softcap` and `sinks` as in `LayerPass`.
    """
    if softcap is not None:
        scores = scores.div_(softcap).tanh_().mul_(softcap)
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill_(~mask, -torch.inf)
    elif mask is not None:
        scores = scores.add_(mask)
    return softmax_with_sinks(scores, sinks)


def softmax_with_sinks(scores: torch.Tensor, sinks: torch.Tensor | None) -> torch.Tensor:
    """Rows of scores (…, heads, q, k); `sinks` (heads,) take their share as a column after the
    keys, which is left out."""
    if sinks is None:
        return scores.softmax(dim=-1)
    column = sinks.float()[:, None, None].expand(*scores.shape[:-1], 1)
    return torch.cat([scores, column], dim=-1).softmax(dim=-1)[..., :-1]
