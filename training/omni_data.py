"""Planted plans as token ids, features, positions and targets: what the tiny omni model learns on.

Equals what `Qwen2_5OmniProcessor` makes of the same media (a test compares them), but skips its
padding to five minutes of audio and its tokenizing of a template. Knows nothing of the optimizer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer

from recorder.planted import text as wording
from recorder.planted.media import SAMPLE_RATE, Audio, Image, Video, render
from recorder.planted.samples import Plan, Spec
from recorder.planted.text import Fact, Question

FPS = 2
HOP = 160
TOKENS_PER_SECOND = 25
CHUNK_SECONDS = 2
AAC_FRAME = 1024
MEL_FRAMES_PER_SECOND = 100
MERGED = 4
SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
END = "<|im_end|>"
ASSISTANT = "<|im_end|>\n<|im_start|>assistant\n"


@dataclass(frozen=True)
class Features:
    """One medium as the towers read it: patches with their grid, mel frames, or both (a video)."""

    patches: torch.Tensor | None = None
    grid: tuple[int, int, int] | None = None
    mel: torch.Tensor | None = None

    @property
    def tokens_a_frame(self) -> int:
        """An image is one frame; two sampled frames of a video count as one."""
        return 0 if self.grid is None else self.grid[1] * self.grid[2] // MERGED

    @property
    def mel_frames(self) -> int:
        return 0 if self.mel is None else int(self.mel.shape[1])

    @property
    def audio_tokens(self) -> int:
        """As the processor counts: two halvings, the second without a remainder."""
        return 0 if self.mel is None else ((self.mel_frames - 1) // 2 + 1 - 2) // 2 + 1


@dataclass(frozen=True)
class Encoded:
    """A plan without its request as model input: ids (n,), positions (3, n), features, and where
    each fact lies. `rest` is the end of the text that the tokenizer joins to the request."""

    plan: Plan
    ids: torch.Tensor
    positions: torch.Tensor
    rest: str
    features: tuple[Features, ...]
    fact_tokens: tuple[torch.Tensor, ...]
    seconds_of_audio: tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Branch:
    """A request and its answer: ids, the first answered position, and each token's sentence."""

    ids: torch.Tensor
    answer: int
    sentence: torch.Tensor


@dataclass(frozen=True)
class Example:
    """One prompt, some units of it hidden, under several requests that do not see each other."""

    encoded: Encoded
    hidden: torch.Tensor
    branches: tuple[Branch, ...]


class Encoder:
    """Encodes plans with the processor's own parts."""

    def __init__(self, processor: Any, model: Any) -> None:
        self.processor = processor
        self.model = model
        self.tokens = processor.tokenizer.backend_tokenizer

    def encode(self, plan: Plan) -> Encoded:
        features = tuple(
            self.features(as_decoded(render(part), part))
            for part in plan.parts
            if not isinstance(part, str)
        )
        text, spans = self._text(plan, features)
        rest = text[-1] if text.endswith(".") else ""
        encoding = self.tokens.encode(text.removesuffix(rest))
        offsets = np.asarray(encoding.offsets)
        ids = torch.tensor(encoding.ids)
        media = [index for index, part in enumerate(plan.parts) if not isinstance(part, str)]
        by_part = dict(zip(media, features, strict=True))
        where = _Where(ids, offsets, text, spans, by_part, self.processor)
        return Encoded(
            plan,
            ids,
            self._positions(ids, features),
            rest,
            features,
            tuple(where.fact(fact) for fact in plan.facts),
            tuple(where.seconds_of_audio()),
        )

    def features(self, medium: Image | Audio | Video) -> Features:
        if isinstance(medium, Image):
            out = self.processor.image_processor(
                images=[torch.from_numpy(medium.pixels.copy()).permute(2, 0, 1)],
                return_tensors="pt",
            )
            return Features(out["pixel_values"], tuple(out["image_grid_thw"][0].tolist()))
        if isinstance(medium, Audio):
            return Features(mel=self.mel(medium))
        frames = torch.from_numpy(medium.frames[:: medium.fps // FPS].copy()).permute(0, 3, 1, 2)
        out = self.processor.video_processor(videos=[frames], return_tensors="pt")
        grid = tuple(out["video_grid_thw"][0].tolist())
        mel = self.mel(medium.audio) if medium.audio else None
        return Features(out["pixel_values_videos"], grid, mel)

    def mel(self, audio: Audio) -> torch.Tensor:
        """(bins, frames) log-mel, as if the audio were followed by silence up to five minutes."""
        extractor = self.processor.feature_extractor
        padded = np.concatenate([audio.samples, np.zeros(2 * extractor.n_fft, np.float32)])
        out = extractor(
            padded, sampling_rate=SAMPLE_RATE, padding="do_not_pad", return_tensors="pt"
        )
        mel: torch.Tensor = out["input_features"][0][:, : -(-len(audio.samples) // HOP)]
        return mel

    def _text(
        self, plan: Plan, features: Sequence[Features]
    ) -> tuple[str, dict[int, tuple[int, int]]]:
        """The templated prompt up to the request, every placeholder repeated; each part's span."""
        text, spans, media = SYSTEM, {}, iter(features)
        for index, part in enumerate(plan.parts[:-1]):
            start = len(text)
            text += part if isinstance(part, str) else self._placeholders(next(media))
            spans[index] = (start, len(text))
        return text, spans

    def _placeholders(self, features: Features) -> str:
        p = self.processor
        audios = p.audio_token * features.audio_tokens
        if features.grid is None:
            return str(p.audio_bos_token + audios + p.audio_eos_token)
        holder = p.image_token if features.grid[0] == 1 else p.video_token
        frames = [holder * features.tokens_a_frame] * features.grid[0]
        if not audios:
            return str(p.vision_bos_token + "".join(frames) + p.vision_eos_token)
        inner = _interleave(frames, audios, len(p.audio_token))
        bos = p.vision_bos_token + p.audio_bos_token
        return str(bos + inner + p.audio_eos_token + p.vision_eos_token)

    def _positions(self, ids: torch.Tensor, features: Sequence[Features]) -> torch.Tensor:
        images = [f.grid for f in features if f.grid and f.grid[0] == 1]
        videos = [f for f in features if f.grid and f.grid[0] > 1]
        mels = [f.mel.shape[1] for f in features if f.mel is not None]
        positions, _ = self.model.get_rope_index(
            ids[None],
            image_grid_thw=torch.tensor(images) if images else None,
            video_grid_thw=torch.tensor([f.grid for f in videos]) if videos else None,
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            use_audio_in_video=any(f.mel is not None for f in videos),
            audio_seqlens=torch.tensor(mels) if mels else None,
            second_per_grids=torch.ones(len(videos)) if videos else None,
        )
        found: torch.Tensor = positions[:, 0]
        return found


def _interleave(frames: list[str], audios: str, length: int) -> str:
    """Two seconds of frames, two seconds of audio, and so on (a frame is a second)."""
    step = CHUNK_SECONDS * TOKENS_PER_SECOND * length
    chunks = max(math.ceil(len(frames) / CHUNK_SECONDS), math.ceil(len(audios) / step))
    return "".join(
        "".join(frames[CHUNK_SECONDS * i : CHUNK_SECONDS * (i + 1)])
        + audios[step * i : step * (i + 1)]
        for i in range(chunks)
    )


def as_decoded(medium: Image | Audio | Video, spec: Spec) -> Image | Audio | Video:
    """A video as its file gives it back: audio to the end of AAC's last frame, or cut."""
    if not isinstance(medium, Video) or medium.audio is None or spec.seed % 2:
        return medium
    missing = -len(medium.audio.samples) % AAC_FRAME
    return replace(medium, audio=Audio(np.pad(medium.audio.samples, (0, missing))))


@dataclass(frozen=True)
class _Where:
    """Which tokens show a fact: ids, character `offsets` in `text`, each part's span of it, and
    the features of each medium, by part."""

    ids: torch.Tensor
    offsets: npt.NDArray[np.int64]
    text: str
    spans: dict[int, tuple[int, int]]
    features: dict[int, Features]
    processor: Any

    def _between(self, start: int, end: int, kind: int | None = None) -> torch.Tensor:
        inside = (self.offsets[:, 0] < end) & (self.offsets[:, 1] > start)
        tokens = torch.from_numpy(np.flatnonzero(inside))
        return tokens if kind is None else tokens[self.ids[tokens] == kind]

    def fact(self, fact: Fact) -> torch.Tensor:
        start, end = self.spans[fact.part]
        if fact.text is not None:
            start = self.text.index(fact.text, start, end)
            return self._between(start, start + len(fact.text))
        if fact.seconds is None:
            return self._between(start, end, self.processor.image_token_id)
        if fact.stream == "vision":
            return self._seconds_seen(fact.part, *fact.seconds)
        return self._seconds_heard(fact.part, *fact.seconds)

    def _seconds_seen(self, part: int, start_s: float, end_s: float) -> torch.Tensor:
        tokens = self._between(*self.spans[part], self.processor.video_token_id)
        rate = self.features[part].tokens_a_frame
        return tokens[round(start_s * rate) : round(end_s * rate)]

    def _seconds_heard(self, part: int, start_s: float, end_s: float) -> torch.Tensor:
        tokens = self._between(*self.spans[part], self.processor.audio_token_id)
        return tokens[round(start_s * TOKENS_PER_SECOND) : round(end_s * TOKENS_PER_SECOND)]

    def seconds_of_audio(self) -> list[torch.Tensor]:
        """Seconds of audio, one by one."""
        return [
            self._seconds_heard(part, second, second + 1)
            for part, features in self.features.items()
            for second in range(features.mel_frames // MEL_FRAMES_PER_SECOND)
        ]


def hide(
    encoded: Encoded, rng: np.random.Generator, share: float
) -> tuple[torch.Tensor, list[Fact]]:
    """Hide about `share` of the units from the language model: the mask, and the visible facts."""
    hidden = torch.zeros(len(encoded.ids), dtype=torch.bool)
    known: list[Fact] = []
    kept: set[int] = set()
    for fact, where in zip(encoded.plan.facts, encoded.fact_tokens, strict=True):
        if rng.random() < share:
            hidden[where] = True
        else:
            known.append(fact)
            kept.update(where.tolist())
    for where in encoded.seconds_of_audio:
        if rng.random() < share and not kept.intersection(where.tolist()):
            hidden[where] = True
    return hidden, known


def branch(
    tokens: Tokenizer, rest: str, questions: Sequence[Question], request: str, known: Sequence[Fact]
) -> Branch:
    ids = tokens.encode(rest + request + ASSISTANT).ids
    answer, sentence = len(ids), [-1] * len(ids)
    for index, (text, _) in enumerate(wording.answer(questions, known)):
        piece = tokens.encode(text if index == 0 else " " + text).ids
        ids += piece
        sentence += [index] * len(piece)
    ids += tokens.encode(END).ids
    sentence.append(sentence[-1])
    return Branch(torch.tensor(ids), answer, torch.tensor(sentence))


def collate(examples: Sequence[Example], pad: int) -> dict[str, torch.Tensor]:
    """One right-padded batch of model inputs; `targets` (-100 where nothing is scored) and the
    number of each target's sentence."""
    lengths = [len(e.encoded.ids) + sum(len(b.ids) for b in e.branches) for e in examples]
    size = (len(examples), max(lengths))
    batch = {
        "input_ids": torch.full(size, pad),
        "attention_mask": torch.zeros(size[0], 1, size[1], size[1], dtype=torch.bool),
        "position_ids": torch.ones(3, *size, dtype=torch.long),
        "targets": torch.full(size, -100),
        "sentence": torch.full(size, -1),
    }
    for row, example in enumerate(examples):
        _fill(batch, row, example)
    return batch | _media([f for e in examples for f in e.encoded.features])


def _fill(batch: dict[str, torch.Tensor], row: int, example: Example) -> None:
    n = len(example.encoded.ids)
    batch["input_ids"][row, :n] = example.encoded.ids
    batch["position_ids"][:, row, :n] = example.encoded.positions
    after = example.encoded.positions.max() + 1
    group = torch.full((batch["input_ids"].shape[1],), -1)
    group[:n] = 0
    start = n
    for number, one in enumerate(example.branches):
        end = start + len(one.ids)
        batch["input_ids"][row, start:end] = one.ids
        batch["position_ids"][:, row, start:end] = after + torch.arange(len(one.ids))
        batch["targets"][row, start + one.answer - 1 : end - 1] = one.ids[one.answer :]
        numbered = one.sentence[one.answer :] + 100 * number
        batch["sentence"][row, start + one.answer - 1 : end - 1] = numbered
        group[start:end] = number + 1
        start = end
    seen = (group[:, None] == group[None, :]) | (group[None, :] == 0)
    hidden = torch.zeros(len(group), dtype=torch.bool)
    hidden[:n] = example.hidden
    seen = (seen & ~hidden[None, :]).tril()
    batch["attention_mask"][row, 0] = seen | torch.eye(len(group), dtype=torch.bool)


def _media(features: Sequence[Features]) -> dict[str, torch.Tensor]:
    inputs = {}
    images = [f for f in features if f.grid is not None and f.grid[0] == 1]
    videos = [f for f in features if f.grid is not None and f.grid[0] > 1]
    mels = [f.mel for f in features if f.mel is not None]
    if images:
        inputs["pixel_values"] = torch.cat([f.patches for f in images if f.patches is not None])
        inputs["image_grid_thw"] = torch.tensor([f.grid for f in images])
    if videos:
        inputs["pixel_values_videos"] = torch.cat(
            [f.patches for f in videos if f.patches is not None]
        )
        inputs["video_grid_thw"] = torch.tensor([f.grid for f in videos])
    if mels:
        longest = max(mel.shape[1] for mel in mels)
        inputs["input_features"] = torch.zeros(len(mels), mels[0].shape[0], longest)
        inputs["feature_attention_mask"] = torch.zeros(len(mels), longest, dtype=torch.long)
        for row, mel in enumerate(mels):
            inputs["input_features"][row, :, : mel.shape[1]] = mel
            inputs["feature_attention_mask"][row, : mel.shape[1]] = 1
    return inputs
