"""Text to token ids and back, and the characters that each token stands for.

Offsets come from decoding one token after another: tokenizers' own are wrong for some models and
absent for generated ids. Knows tokenizers and decode functions; no model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from omnitrace.arrays import Int32

Decode = Callable[[list[int]], str]

UNFINISHED = "\N{REPLACEMENT CHARACTER}"


def decode_with_offsets(ids: Sequence[int], decode: Decode) -> tuple[str, Int32]:
    """The text of `ids` and each token's half-open character range in it, (len, 2) int32.

    The ranges are disjoint, in order and cover the text. A character whose bytes are spread over
    several tokens belongs to the last of them; the others get empty ranges before it.
    """
    pieces = list(_pieces(list(ids), decode))
    ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int32)
    starts = np.concatenate([np.zeros(1, np.int32), ends])[: len(pieces)]
    return "".join(pieces), np.stack([starts, ends], axis=1).astype(np.int32).reshape(-1, 2)


def _pieces(ids: list[int], decode: Decode) -> list[str]:
    """The text that each token adds; the last one adds all that is still unfinished.

    Decoding starts at the last finished token before, since decoders may treat a first token
    differently (SentencePiece drops its space).
    """
    pieces: list[str] = []
    context = finished = 0
    for end in range(1, len(ids) + 1):
        before = decode(ids[context:finished])
        text = decode(ids[context:end])
        if text.endswith(UNFINISHED) and end < len(ids):
            pieces.append("")
            continue
        pieces.append(text[len(before) :])
        context, finished = finished, end
    return pieces
