"""BM25: which units a search engine would find for a span of the answer. Needs no model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from replay.methods import AttributionTask

Float64 = npt.NDArray[np.float64]

K1, B = 1.2, 0.75
"""The usual constants of Okapi BM25 (Robertson and Zaragoza 2009)."""


def bm25(task: AttributionTask) -> Float64:
    """(K, m): Okapi BM25 of each unit, a document, for the different words of a span, a query."""
    response = task.trace.response
    spans = [_words(response[span.start : span.end]) for span in task.spans]
    return bm25_of(spans, [_words(text or "") for text in task.units.text])


def bm25_of(queries: Sequence[Sequence[str]], documents: Sequence[Sequence[str]]) -> Float64:
    """(queries, documents): the scores of word lists; 0 where no word is shared."""
    counts, total = [Counter(words) for words in documents], len(documents)
    mean = sum(map(len, documents)) / max(1, total)
    holding = Counter(word for words in counts for word in words)
    found = np.zeros((len(queries), total))
    for row, query in zip(found, queries, strict=True):
        for at, own in enumerate(counts):
            length = K1 * (1 - B + B * own.total() / max(1.0, mean))
            for word in set(query) & own.keys():
                rarity = np.log1p((total - holding[word] + 0.5) / (holding[word] + 0.5))
                row[at] += rarity * own[word] * (K1 + 1) / (own[word] + length)
    return found


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
