"""Text to token ids and back, as every adapter does it with its tokenizer. Knows no model."""

from __future__ import annotations

from typing import Any


class Tokens:
    """What the protocol `Adapter` asks of a tokenizer."""

    tokenizer: Any

    def decode(self, ids: list[int]) -> str:
        text: str = self.tokenizer.decode(
            ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids
