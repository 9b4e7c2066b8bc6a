"""Builders of small, legal traces for tests: real classes, random but seeded numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from omnitrace.timeline import Medium, Modality, Part, Timeline
from omnitrace.trace import SignalRows, Trace

FACTS = ("The parcel weighs seven kilos. ", "Anna lives in Oslo. ")
QUESTION = "What is known?"
TAGGED_ANSWER = (
    "The/DET parcel/NOUN weighs/VERB seven/NUM kilos/NOUN ./PUNCT "
    "A/DET red/ADJ circle/NOUN is/AUX shown/VERB ./PUNCT "
    "A/DET tone/NOUN sounds/VERB ./PUNCT"
)
PAIRS = [pair.split("/") for pair in TAGGED_ANSWER.split()]
ANSWER = [word + ("" if word in {"kilos", "shown", "sounds"} else " ") for word, _ in PAIRS]
POS = [pos for _, pos in PAIRS]


@dataclass
class _Tokens:
    """Prompt tokens being laid one after another."""

    columns: dict[str, list[Any]]
    text: str = ""

    def add(self, modality: Modality, *, piece: str = "", **over: Any) -> None:
        start = len(self.text)
        self.text += piece
        row = {
            "modality": modality,
            "part": -1,
            "medium": -1,
            "chars": (start, len(self.text)),
            "start_s": np.nan,
            "end_s": np.nan,
            "row": -1,
            "column": -1,
            "frame": -1,
        } | over
        for name, value in row.items():
            self.columns[name].append(value)

    def words(self, text: str, part: int) -> None:
        for word in text.split(" "):
            if word:
                self.add(Modality.TEXT, piece=word + " ", part=part)


def make_timeline() -> tuple[Timeline, str, tuple[Part, ...], tuple[Medium, ...]]:
    """Text facts, a 2x2-patch image, 3 s of audio, 2 s of video with sound, a question."""
    tokens = _Tokens({name: [] for name in Timeline.dtypes()})
    tokens.add(Modality.SPECIAL)
    tokens.words(FACTS[0] + FACTS[1], part=0)
    for row, column in np.ndindex(2, 2):
        tokens.add(Modality.IMAGE, part=1, medium=0, row=row, column=column, frame=0)
    for second in np.arange(0, 3, 0.5):
        tokens.add(Modality.AUDIO, part=2, medium=1, start_s=second, end_s=second + 0.5)
    for second in range(2):
        time = dict[str, Any](part=3, medium=2, start_s=second, end_s=second + 1)
        for column in range(2):
            tokens.add(Modality.VIDEO, row=0, column=column, frame=second, **time)
        tokens.add(Modality.AUDIO, **time)
    tokens.words(QUESTION, part=4)
    tokens.add(Modality.SPECIAL)
    arrays = {
        name: np.array(tokens.columns[name], dtype) for name, dtype in Timeline.dtypes().items()
    }
    parts = (
        Part("user", "text"),
        Part("user", "image", 0),
        Part("user", "audio", 1),
        Part("user", "video", 2),
        Part("user", "text"),
    )
    media = (
        Medium("image", "circle.png", "0" * 64, width=56, height=56),
        Medium("audio", "tone.wav", "1" * 64, duration_s=3.0),
        Medium("video", "square.mp4", "2" * 64, duration_s=2.0, width=56, height=56),
    )
    return Timeline(**arrays), tokens.text, parts, media


def make_rows(rng: np.random.Generator, n: int, steps: int, layers: int = 0) -> SignalRows:
    """Random rows that sum to 1, with a prompt-mean first row; `layers` blocks or one reduced."""
    rows = [rng.dirichlet(np.full(n + t, 0.2)) for _ in range(max(1, layers)) for t in range(steps)]
    values = np.concatenate([np.empty(0), *rows]).astype(np.float32)
    first_row = rng.dirichlet(np.ones(n)).astype(np.float32)
    return SignalRows(values, tuple(range(layers)), first_row)


def ranges_of(pieces: list[str]) -> np.ndarray[Any, np.dtype[np.int32]]:
    """(len, 2) int32 character ranges of pieces laid one after another, trimmed at the end."""
    ends = np.cumsum([len(p) for p in pieces])
    starts = ends - [len(p) for p in pieces]
    trimmed = [start + len(piece.rstrip()) for start, piece in zip(starts, pieces, strict=True)]
    return np.stack([starts, trimmed], axis=1).astype(np.int32).reshape(-1, 2)


def make_trace(id: str = "sample-0", seed: int = 0, layers: int = 0, **over: Any) -> Trace:
    """A legal trace about a parcel, a circle and a tone; `over` replaces fields."""
    rng = np.random.default_rng(seed)
    timeline, prompt_text, parts, media = make_timeline()
    n, steps = len(timeline), len(ANSWER)
    fields: dict[str, Any] = {
        "id": id,
        "prompt_text": prompt_text,
        "response": "".join(ANSWER),
        "prompt_ids": rng.integers(0, 500, n, dtype=np.int32),
        "response_ids": rng.integers(0, 500, steps, dtype=np.int32),
        "chars": ranges_of(list(ANSWER)),
        "logprob": -rng.random(steps, dtype=np.float32),
        "entropy": rng.random(steps, dtype=np.float32),
        "pos": tuple(POS),
        "sentences": ranges_of(
            ["The parcel weighs seven kilos. ", "A red circle is shown. ", "A tone sounds."]
        ),
        "prompt_sentences": ranges_of([*FACTS, QUESTION]),
        "timeline": timeline,
        "parts": parts,
        "media": media,
        "signals": {
            "attmean": make_rows(rng, n, steps, layers),
            "rawatt": make_rows(rng, n, steps, layers),
        },
        "meta": {"seed": seed},
    }
    return Trace(**(fields | over))
