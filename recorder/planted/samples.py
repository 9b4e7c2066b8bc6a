"""Planted evidence: samples as a user could have made them, with the causes of every sentence.

A prompt mixes text facts, images, recordings and videos with distractors, and ends in questions or
a request for a report. Every sentence of the true answer is caused by exactly one fact, and every
fact by one known sentence, image, or stretch of seconds; what is asked but not there has no
cause. Training, demo, tests and benchmarks all draw from here, each from its own seeds (`SPLITS`).
Knows nothing of models or of the run store.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recorder.planted import text as wording
from recorder.planted.media import (
    SCENE_SECONDS,
    Audio,
    AudioSpec,
    Image,
    ImageSpec,
    Video,
    VideoSpec,
    render,
    write_audio,
    write_image,
    write_video,
)
from recorder.planted.text import Fact, Question, Saying

KINDS = ("text", "image", "audio", "video", "video-silent", "mixed")

SPLITS = {
    "demo": range(0, 10_000),
    "choose": range(10_000, 20_000),
    "test": range(20_000, 30_000),
    "confirm": range(30_000, 40_000),
    "train": range(1_000_000, 2_000_000_000),
}
"""Disjoint seeds: `choose` to choose defaults on, `test` for numbers that are reported, `confirm`
for those of what was changed after `test` had been looked at."""

Spec = ImageSpec | AudioSpec | VideoSpec
NOUNS: dict[type, str] = {ImageSpec: "picture", AudioSpec: "recording", VideoSpec: "film"}
"""What the prompts, which the bundled model was trained on, call each kind of medium."""


@dataclass(frozen=True)
class Plan:
    """A sample before its media are rendered: parts in order, what they show, what is asked."""

    id: str
    parts: tuple[str | Spec, ...]
    facts: tuple[Fact, ...]
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class Evidence:
    """What causes a sentence: a content part (counted over all messages), or a piece of it.

    `text`: the sentence of the prompt, for text. `start_s`, `end_s`: seconds, for audio and video.
    `stream`: "vision" or "sound", for video.
    """

    part: int
    text: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    stream: str | None = None


@dataclass(frozen=True)
class PlantedSentence:
    text: str
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True)
class PlantedSample:
    """`messages` name their media; `media` holds the arrays; `sentences` are the true answer."""

    id: str
    messages: list[dict[str, Any]]
    media: dict[str, Image | Audio | Video]
    sentences: tuple[PlantedSentence, ...]

    @property
    def answer(self) -> str:
        return " ".join(sentence.text for sentence in self.sentences)


def make_sample(seed: int, kind: str) -> PlantedSample:
    """The sample of this seed and kind (one of `KINDS`); always the same one."""
    plan = make_plan(seed, kind)
    sentences = tuple(
        PlantedSentence(text, tuple(evidence_of(fact) for fact in causes))
        for text, causes in wording.answer(plan.questions, plan.facts)
    )
    return realise(plan, sentences)


def realise(plan: Plan, sentences: tuple[PlantedSentence, ...]) -> PlantedSample:
    """The plan as messages and rendered media; `sentences` are its true answer."""
    names = media_names(plan)
    content = [_content(part, names.get(i)) for i, part in enumerate(plan.parts)]
    media = {names[i]: render(p) for i, p in enumerate(plan.parts) if not isinstance(p, str)}
    return PlantedSample(plan.id, [{"role": "user", "content": content}], media, sentences)


def make_plan(seed: int, kind: str, *, short: bool = False) -> Plan:
    """What the sample of this seed and kind says, shows and asks; nothing is rendered.

    `short`: one question, and a few facts or media alone: a learner's first lessons.
    """
    if kind not in KINDS:
        raise ValueError(f"no planted samples of kind {kind!r}; legal are {', '.join(KINDS)}")
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    entries = _draw_short(rng, kind) if short else _draw_entries(rng, kind)
    order = rng.permutation(len(entries))
    parts, facts = lay_out([entries[i] for i in order])
    questions = _draw_questions(rng, kind, facts)[: 1 if short else None]
    as_report = bool(rng.random() < 0.4)
    parts.append(wording.put(questions, as_report))
    return Plan(f"{kind}-{seed}", tuple(parts), tuple(facts), tuple(questions))


def ask_differently(plan: Plan, seed: int) -> Plan:
    """The same parts and facts under other questions."""
    rng = np.random.default_rng(seed)
    questions = _draw_questions(rng, plan.id.rsplit("-", 1)[0], plan.facts)
    request = wording.put(questions, bool(rng.random() < 0.4))
    return Plan(plan.id, (*plan.parts[:-1], request), plan.facts, tuple(questions))


def media_names(plan: Plan) -> dict[int, str]:
    """Part index to the name of its medium: `picture-1`, `recording-1`, `film-1`, ..."""
    names, counts = {}, dict.fromkeys(NOUNS.values(), 0)
    for index, part in enumerate(plan.parts):
        if not isinstance(part, str):
            noun = NOUNS[type(part)]
            counts[noun] += 1
            names[index] = f"{noun}-{counts[noun]}"
    return names


# Contents of a prompt.


def _draw_entries(rng: np.random.Generator, kind: str) -> list[str | Saying | Spec]:
    """Facts, fillers and media of a prompt, not yet in order."""
    images, recordings, videos, audio = _draw_counts(rng, kind)
    most = {"text": (3, 6), "mixed": (1, 3)}.get(kind, (1, 4))
    sayings = wording.draw_sayings(rng, int(rng.integers(most[0], most[1] + 1)))
    fillers = rng.choice(wording.FILLERS, size=int(rng.integers(0, 3)), replace=False)
    stock = Stock(rng)
    media: list[Spec] = [stock.image() for _ in range(images)]
    longest = 3 if recordings > 1 or videos else len(wording.SECONDS)
    media += [stock.recording(longest) for _ in range(recordings)]
    media += [stock.video(audio, 2 if videos == 1 else 1) for _ in range(videos)]
    return [*sayings, *(str(filler) for filler in fillers), *media]


def _draw_short(rng: np.random.Generator, kind: str) -> list[str | Saying | Spec]:
    """Two to four text facts, or media without any."""
    if kind == "text":
        return [*wording.draw_sayings(rng, int(rng.integers(2, 5)))]
    media = [e for e in _draw_entries(rng, kind) if not isinstance(e, str | Saying)]
    return [*media[: 1 if rng.random() < 0.7 else None]]


def _draw_counts(rng: np.random.Generator, kind: str) -> tuple[int, int, int, bool]:
    """How many images, recordings and videos, and whether the videos have audio."""
    if kind == "image":
        return int(rng.integers(2, 4)), 0, 0, False
    if kind == "audio":
        return 0, int(rng.integers(1, 3)), 0, False
    if kind == "video":
        return 0, 0, 1, True
    if kind == "video-silent":
        return 0, 0, int(rng.integers(1, 3)), False
    if kind == "text":
        return 0, 0, 0, False
    choices = ((2, 1, 0), (1, 1, 0), (1, 0, 1), (2, 0, 1), (0, 1, 1), (1, 1, 1))
    images, recordings, videos = choices[int(rng.integers(len(choices)))]
    return images, recordings, videos, bool(rng.random() < 0.5)


class Stock:
    """Draws media; no colour, no shape of a sort of medium, and no pitch twice in a prompt."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.colours = list(rng.permutation(wording.COLOURS))
        self.drawn = list(rng.permutation(wording.SHAPES))
        self.moving = list(rng.permutation(wording.SHAPES))
        self.pitches = list(rng.permutation(wording.PITCHES))

    def _pick(self, words: tuple[str, ...]) -> str:
        return str(words[int(self.rng.integers(len(words)))])

    def _seed(self) -> int:
        return int(self.rng.integers(2**31))

    def _size(self, least: int, most: int) -> tuple[int, int]:
        width, height = self.rng.integers(least // 2, most // 2 + 1, size=2) * 2
        return int(width), int(height)

    def image(self) -> ImageSpec:
        shape, colour = str(self.drawn.pop()), str(self.colours.pop())
        return ImageSpec(
            shape, colour, self._pick(wording.PLACES), self._size(96, 128), self._seed()
        )

    def _tones(self, seconds: int) -> tuple[tuple[str, int], ...]:
        """One or two tones, in two seconds; one where few pitches are left."""
        count = int(self.rng.integers(1, min(2, len(self.pitches) - 1) + 1))
        times = sorted(self.rng.permutation(seconds)[:count])
        return tuple((str(self.pitches.pop()), int(time)) for time in times)

    def recording(self, longest: int) -> AudioSpec:
        seconds = int(self.rng.integers(2, longest + 1))
        return AudioSpec(self._tones(seconds), seconds, self._seed())

    def video(self, audio: bool, most_scenes: int) -> VideoSpec:
        count = int(self.rng.integers(1, most_scenes + 1))
        scenes = tuple(
            (str(self.moving.pop()), str(self.colours.pop()), self._pick(wording.DIRECTIONS))
            for _ in range(count)
        )
        tones = self._tones(SCENE_SECONDS * count) if audio else ()
        return VideoSpec(scenes, tones, self._size(96, 112), self._seed())


def lay_out(entries: Sequence[str | Saying | Spec]) -> tuple[list[str | Spec], list[Fact]]:
    """Content parts (neighbouring sentences share one) and the facts that they show."""
    parts: list[str | Spec] = []
    facts: list[Fact] = []
    counts = {ImageSpec: 0, AudioSpec: 0, VideoSpec: 0}
    for entry in entries:
        if isinstance(entry, str | Saying):
            _append(parts, entry if isinstance(entry, str) else entry.text)
        else:
            _append(parts, wording.label(NOUNS[type(entry)], counts[type(entry)]))
            parts.append(entry)
        part = len(parts) - 1
        if isinstance(entry, Saying):
            facts.append(Fact(entry.report, entry.keys, part, text=entry.text))
        elif not isinstance(entry, str):
            facts += _shown(entry, counts[type(entry)], part)
            counts[type(entry)] += 1
    return parts, facts


def _append(parts: list[str | Spec], sentence: str) -> None:
    if parts and isinstance(parts[-1], str):
        parts[-1] += " " + sentence
    else:
        parts.append(sentence)


def _shown(spec: Spec, ordinal: int, part: int) -> list[Fact]:
    """The facts that one medium shows, the `ordinal`-th of its sort."""
    nth = wording.ORDINALS[ordinal]
    if isinstance(spec, ImageSpec):
        report = wording.report_image(spec.shape, spec.colour, spec.place)
        keys = frozenset({"picture", f"picture {nth}", f"picture with {spec.shape}"})
        return [Fact(report, keys, part)]
    if isinstance(spec, AudioSpec):
        return [_heard(tone, {f"recording {nth}"}, part, None) for tone in spec.tones]
    scenes = [
        Fact(
            wording.report_scene(*scene),
            frozenset({f"film {nth}", f"film with {scene[0]}"}),
            part,
            seconds=(float(SCENE_SECONDS * i), float(SCENE_SECONDS * (i + 1))),
            stream="vision",
        )
        for i, scene in enumerate(spec.scenes)
    ]
    return scenes + [_heard(tone, set(), part, "sound") for tone in spec.tones]


def _heard(tone: tuple[str, int], keys: set[str], part: int, stream: str | None) -> Fact:
    pitch, second = tone
    return Fact(
        wording.report_tone(pitch, second),
        frozenset(keys | {f"{pitch} tone"}),
        part,
        seconds=(float(second), second + 1.0),
        stream=stream,
    )


# Questions.


def _draw_questions(rng: np.random.Generator, kind: str, facts: Sequence[Fact]) -> list[Question]:
    """One to three questions that no fact answers twice; some ask for what is not there."""
    wanted = int(rng.choice(3, p=(0.25, 0.45, 0.3))) + 1
    chosen: list[Question] = []
    answered: set[int] = set()
    for key in _candidates(rng, kind, facts):
        found = {i for i, fact in enumerate(facts) if key in fact.keys}
        question = wording.QUESTIONS[key]
        if question not in chosen and not found & answered and len(answered | found) <= 5:
            chosen.append(question)
            answered |= found
        if len(chosen) == wanted:
            break
    return [chosen[i] for i in rng.permutation(len(chosen))]


def _candidates(rng: np.random.Generator, kind: str, facts: Sequence[Fact]) -> list[str]:
    """Keys in random order, media first where the kind is about media; one in eight is absent."""
    shown = sorted({key for fact in facts if fact.text is None for key in fact.keys})
    known = sorted({key for fact in facts if fact.text is not None for key in fact.keys})
    media = [str(key) for key in rng.permutation(shown)] if shown else []
    text = [str(key) for key in rng.permutation(known)]
    mixed = media[:2] + [str(key) for key in rng.permutation(media[2:] + text)]
    absent = _absent(facts, bool(media))
    return [
        str(rng.choice(absent)) if absent and rng.random() < 0.125 else key
        for key in dict.fromkeys(mixed)
    ]


def _absent(facts: Sequence[Fact], about_media: bool) -> list[str]:
    """Keys that nothing in the prompt answers: of attributes that nobody told, or of media of a
    sort that is there."""
    there = {key for fact in facts for key in fact.keys}
    known = {key.split(" of ")[0] for key in there}
    shown = {
        word for key in there for word in ("picture", "film", "recording", "tone") if word in key
    }
    return [
        key
        for key in wording.QUESTIONS
        if key not in there
        and (shown & set(key.split()) or (" of " in key and key.split(" of ")[0] not in known))
        and (about_media or " of " in key)
    ]


# Files.


def _content(part: str | Spec, name: str | None) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    sort = {ImageSpec: "image", AudioSpec: "audio", VideoSpec: "video"}[type(part)]
    return {"type": sort, sort: name}


def evidence_of(fact: Fact) -> Evidence:
    """Where a fact lies."""
    start, end = fact.seconds or (None, None)
    return Evidence(fact.part, fact.text, start, end, fact.stream)


def write_samples(samples: Sequence[PlantedSample], folder: Path) -> None:
    """Write `samples.jsonl`, `truth.jsonl` and the media that they name under `folder`."""
    (folder / "media").mkdir(parents=True, exist_ok=True)
    asked = [_write_sample(sample, folder) for sample in samples]
    truth = [_truth(sample) for sample in samples]
    for name, rows in (("samples.jsonl", asked), ("truth.jsonl", truth)):
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        (folder / name).write_text("".join(lines), encoding="utf-8")


def _write_sample(sample: PlantedSample, folder: Path) -> dict[str, Any]:
    paths = {}
    for name, medium in sample.media.items():
        paths[name] = _write_medium(medium, folder, f"media/{sample.id}-{name}")
    messages = [
        {"role": m["role"], "content": [_with_path(part, paths) for part in m["content"]]}
        for m in sample.messages
    ]
    return {"id": sample.id, "messages": messages}


def _write_medium(medium: Image | Audio | Video, folder: Path, stem: str) -> str:
    if isinstance(medium, Image):
        write_image(medium, folder / f"{stem}.png")
        return f"{stem}.png"
    if isinstance(medium, Audio):
        write_audio(medium, folder / f"{stem}.wav")
        return f"{stem}.wav"
    write_video(medium, folder / f"{stem}.mp4")
    return f"{stem}.mp4"


def _with_path(part: dict[str, Any], paths: dict[str, str]) -> dict[str, Any]:
    sort = part["type"]
    return part if sort == "text" else {"type": sort, sort: paths[part[sort]]}


def _truth(sample: PlantedSample) -> dict[str, Any]:
    sentences = [
        {"text": s.text, "evidence": [vars(e) for e in s.evidence]} for s in sample.sentences
    ]
    return {"id": sample.id, "answer": sample.answer, "sentences": sentences}
