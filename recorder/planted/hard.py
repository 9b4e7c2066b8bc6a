"""Planted samples that are hard in one way: six axes in four modalities, for the benchmark.

Built of the same media, facts and questions as `samples`, whose own samples stay what they are.
Each asks one question. Knows nothing of models or of the run store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from recorder.planted import text as wording
from recorder.planted.media import AudioSpec, ImageSpec, VideoSpec
from recorder.planted.samples import (
    Plan,
    PlantedSample,
    PlantedSentence,
    Spec,
    Stock,
    evidence_of,
    lay_out,
    realise,
)
from recorder.planted.text import Fact, Question, Saying

MODALITIES = ("text", "image", "audio", "video")

AXES = {
    "plain": "few units, and what is asked is there once",
    "units": "more facts, pictures, tones or scenes than usual",
    "distractors": "sentences and media of other kinds that nobody asks about",
    "near-duplicates": "others that differ from what is asked in a word, a colour or a second",
    "length": "long sentences among others, large pictures, long sounds and films",
    "two": "what is asked is there twice, in two units, each of which is enough",
    "absent": "what is asked is not there",
}
"""How samples are hard; with `plain` the six others are compared."""

Entry = str | Saying | Spec


def make_hard(seed: int, modality: str, axis: str) -> PlantedSample:
    """The sample of this seed, modality and axis; always the same one. ValueError for others."""
    if modality not in MODALITIES or axis not in AXES:
        raise ValueError(f"there are no planted samples of {modality!r} on the axis {axis!r}")
    rng = np.random.default_rng([seed, MODALITIES.index(modality), list(AXES).index(axis)])
    entries, key = _DRAW[modality](rng, axis)
    if axis == "distractors":
        entries += _distractors(rng, modality)
    ordered = entries if key.split()[-1] in wording.ORDINALS else _shuffled(rng, entries)
    parts, facts = lay_out(ordered)
    question = wording.QUESTIONS[key]
    parts.append(wording.put([question], as_report=bool(rng.random() < 0.4)))
    plan = Plan(f"{modality}-{axis}-{seed}", tuple(parts), tuple(facts), (question,))
    return realise(plan, _sentences(question, facts))


def _sentences(question: Question, facts: Sequence[Fact]) -> tuple[PlantedSentence, ...]:
    """The answer: what two facts tell alike is said once, caused by both."""
    causes: dict[str, list[Fact]] = {}
    for text, found in wording.answer([question], facts):
        causes.setdefault(text, []).extend(found)
    return tuple(
        PlantedSentence(text, tuple(evidence_of(fact) for fact in found))
        for text, found in causes.items()
    )


def _shuffled(rng: np.random.Generator, entries: list[Entry]) -> list[Entry]:
    return [entries[i] for i in rng.permutation(len(entries)).tolist()]


def _pick(rng: np.random.Generator, words: Sequence[str]) -> str:
    return str(words[int(rng.integers(len(words)))])


# One drawer a modality: the entries of a prompt, and the key of what is asked.


def _texts(rng: np.random.Generator, axis: str) -> tuple[list[Entry], str]:
    count = {"units": 6, "near-duplicates": 5}.get(axis, 3)
    known = rng.integers(len(wording.ATTRIBUTES), size=count)
    if axis == "near-duplicates":
        known[:] = known[0]
    values = [_shuffled(rng, list(a.values)) for a in wording.ATTRIBUTES]
    objects = rng.permutation(wording.OBJECTS).tolist()
    facts = [(objects[i], int(a), str(values[a].pop())) for i, a in enumerate(known)]
    ways = [1] * count if axis == "length" else rng.integers(2, size=count).tolist()
    entries: list[Entry] = [_say(*fact, way) for fact, way in zip(facts, ways, strict=True)]
    if axis == "two":
        entries.append(_say(*facts[0], 1 - ways[0]))
    if axis == "length":
        entries += _fillers(rng, 4)
    if axis == "absent":
        untold = sorted(set(range(len(wording.ATTRIBUTES))) - set(known.tolist()))
        return entries, f"{wording.ATTRIBUTES[untold[0]].name} of {objects[0]}"
    return entries, f"{wording.ATTRIBUTES[facts[0][1]].name} of {objects[0]}"


def _say(o: str, attribute: int, value: str, way: int) -> Saying:
    return wording.say(o, wording.ATTRIBUTES[attribute], way, value)


def _images(rng: np.random.Generator, axis: str) -> tuple[list[Entry], str]:
    stock = Stock(rng)
    images = [stock.image() for _ in range({"units": 4, "near-duplicates": 3}.get(axis, 2))]
    first = images[0]
    if axis == "near-duplicates":
        alike: list[Entry] = [replace(image, shape=first.shape) for image in images]
        return alike, f"picture {_pick(rng, wording.ORDINALS[:3])}"
    if axis == "length":
        images = [replace(image, size=(128, 128)) for image in images]
    if axis == "two":
        images.append(replace(first, seed=first.seed + 1))
    if axis == "absent":
        return [*images], f"picture with {_other(wording.SHAPES, [p.shape for p in images])}"
    return [*images], f"picture with {first.shape}"


def _recordings(rng: np.random.Generator, axis: str) -> tuple[list[Entry], str]:
    pitches = rng.permutation(wording.PITCHES).tolist()
    seconds = 5 if axis == "length" else 3
    tones = [(pitches[0], int(rng.integers(seconds)))]
    first = AudioSpec(tuple(tones), seconds, int(rng.integers(2**31)))
    if axis == "units":
        at = sorted(rng.permutation(seconds)[:2].tolist())
        first = replace(first, tones=((pitches[0], at[0]), (pitches[1], at[1])))
        return [first, _tone(rng, pitches[2], 3)], f"{pitches[0]} tone"
    if axis == "near-duplicates":
        second = AudioSpec(((pitches[1], tones[0][1]),), seconds, first.seed + 1)
        return [first, second], f"{pitches[0]} tone"
    if axis == "two":
        return [first, replace(first, seed=first.seed + 1)], f"{pitches[0]} tone"
    return [first], f"{pitches[-1] if axis == 'absent' else pitches[0]} tone"


def _tone(rng: np.random.Generator, pitch: str, seconds: int) -> AudioSpec:
    tones = ((pitch, int(rng.integers(seconds))),)
    return AudioSpec(tones, seconds, int(rng.integers(2**31)))


def _videos(rng: np.random.Generator, axis: str) -> tuple[list[Entry], str]:
    stock = Stock(rng)
    long = axis in ("units", "length")
    first = _scenes(stock.video(axis == "length", 1), stock, 2 if long else 1)
    shape = first.scenes[0][0]
    if axis == "units":
        return [first, stock.video(False, 1)], f"film with {shape}"
    if axis == "near-duplicates":
        other = stock.video(False, 1)
        scene = (shape, *other.scenes[0][1:])
        return [first, replace(other, scenes=(scene,))], f"film {_pick(rng, ('first', 'second'))}"
    if axis == "two":
        return [first, replace(first, seed=first.seed + 2)], f"film with {shape}"
    if axis == "absent":
        return [first], f"film with {_other(wording.SHAPES, [shape])}"
    return [first], f"film with {shape}"


def _scenes(video: VideoSpec, stock: Stock, count: int) -> VideoSpec:
    """The video with so many scenes; its tones stay in its first two seconds."""
    more = [stock.video(False, 1).scenes[0] for _ in range(count - len(video.scenes))]
    return replace(video, scenes=(*video.scenes, *more))


def _other(words: Sequence[str], there: Sequence[str]) -> str:
    return next(word for word in words if word not in there)


def _fillers(rng: np.random.Generator, count: int) -> list[Entry]:
    return [str(filler) for filler in rng.permutation(wording.FILLERS)[:count]]


def _distractors(rng: np.random.Generator, modality: str) -> list[Entry]:
    """Two idle sentences and, beside media three facts, beside facts an image and audio."""
    fillers = _fillers(rng, 2)
    if modality != "text":
        return [*fillers, *wording.draw_sayings(rng, 3)]
    image: ImageSpec = Stock(rng).image()
    return [*fillers, image, _tone(rng, _pick(rng, wording.PITCHES), 2)]


_DRAW = {"text": _texts, "image": _images, "audio": _recordings, "video": _videos}
