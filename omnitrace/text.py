"""Foreign text made safe for a terminal, once, where it is read.

The replacement is one character for one character, so that character offsets hold.
"""

from __future__ import annotations

_KEPT_CONTROLS = {0x09, 0x0A}
_BIDI = {0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
_LINE_BREAKS = {0x2028, 0x2029}
_SURROGATES = range(0xD800, 0xE000)
_UNSAFE = ({*range(0x20), *range(0x7F, 0xA0)} - _KEPT_CONTROLS) | _BIDI | _LINE_BREAKS
_TABLE = dict.fromkeys([*_UNSAFE, *_SURROGATES], "\N{REPLACEMENT CHARACTER}")


def safe_text(text: str) -> str:
    """`text` with every control (but newline and tab), bidi and surrogate character replaced.

    The result has the same length; it cannot move the cursor, write the clipboard or reorder
    what a reader sees.
    """
    return text.translate(_TABLE)


def one_line(text: str, width: int = 60) -> str:
    """`text`, safe, its white space folded, cut to `width` characters with an ellipsis."""
    folded = " ".join(safe_text(text).split())
    return folded if len(folded) <= width else folded[: width - 1] + "…"
