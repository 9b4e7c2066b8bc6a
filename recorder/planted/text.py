"""The wording of planted evidence: facts, questions and the sentences that answer them.

A fact is one thing that a prompt shows (said in a sentence, drawn, heard, filmed) and the sentence
that reports it. A question is a key; it is answered by every fact that carries the key, in the
order of the prompt, or, if none does, by its `absent` sentence. Hiding a part of the prompt is
therefore leaving facts out. Knows nothing of files, pixels, samples or models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

OBJECTS = (
    "parcel", "lamp", "kettle", "ladder", "basket", "bottle", "carpet",
    "mirror", "violin", "blanket", "wagon", "statue",
)  # fmt: skip
ORDINALS = ("first", "second", "third", "fourth")
SECONDS = ("one", "two", "three", "four", "five")
SHAPES = ("circle", "square", "triangle", "cross", "ring")
COLOURS = ("red", "green", "blue", "yellow", "purple", "black")
PLACES = ("at the top", "at the bottom", "at the left", "at the right", "at the centre")
DIRECTIONS = ("to the left", "to the right", "up", "down")
PITCHES = ("low", "middle", "high", "rising")
FILLERS = (
    "Thank you for waiting.",
    "Please read all of this.",
    "The weather was fine today.",
    "It has been a long week.",
    "Nothing else is new here.",
)


@dataclass(frozen=True)
class Attribute:
    """What can be said about an object: two ways to tell, one to report, one to miss it."""

    name: str
    known: tuple[str, str]
    report: str
    ask: str
    clause: str
    values: tuple[str, ...]


ATTRIBUTES = (
    Attribute(
        "weight",
        ("The {o} weighs {v} kilos.", "They found that the {o} weighs {v} kilos."),
        "The {o} weighs {v} kilos.",
        "What does the {o} weigh?",
        "what the {o} weighs",
        ("six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    ),
    Attribute(
        "place",
        ("The {o} stands in {v}.", "They say that the {o} stands in {v}."),
        "The {o} stands in {v}.",
        "Where is the {o}?",
        "where the {o} is",
        ("Paris", "London", "Berlin", "Madrid", "Vienna", "Lisbon", "Dublin"),
    ),
    Attribute(
        "owner",
        ("The {o} belongs to {v}.", "The {o} is owned by {v}."),
        "The {o} belongs to {v}.",
        "Who owns the {o}?",
        "who owns the {o}",
        ("Anna", "Boris", "Carla", "David", "Elena", "Frank", "Greta"),
    ),
    Attribute(
        "arrival",
        ("The {o} arrives on {v}.", "They will bring the {o} on {v}."),
        "The {o} arrives on {v}.",
        "When does the {o} arrive?",
        "when the {o} arrives",
        ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    ),
    Attribute(
        "price",
        ("The {o} costs {v} euros.", "For the {o} you pay {v} euros."),
        "The {o} costs {v} euros.",
        "What does the {o} cost?",
        "what the {o} costs",
        ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty"),
    ),
)


@dataclass(frozen=True)
class Fact:
    """One thing that the prompt shows: `report` tells it, a question with one of `keys` finds it.

    `part` is the content part that shows it, `text` its sentence there (text facts), `seconds` its
    interval and `stream` its side of a video ("vision" or "sound").
    """

    report: str
    keys: frozenset[str]
    part: int
    text: str | None = None
    seconds: tuple[float, float] | None = None
    stream: str | None = None


@dataclass(frozen=True)
class Question:
    """What is asked: as a question (`ask`), or as a thing to report (`name`)."""

    key: str
    ask: str
    name: str
    absent: str


@dataclass(frozen=True)
class Saying:
    """A text fact before it has its place in a prompt."""

    text: str
    report: str
    keys: frozenset[str]


def draw_sayings(rng: np.random.Generator, count: int) -> list[Saying]:
    """`count` text facts, each on another object; an attribute told twice has two values."""
    objects = rng.permutation(OBJECTS)[:count]
    values = [list(rng.permutation(a.values)) for a in ATTRIBUTES]
    chosen = rng.integers(len(ATTRIBUTES), size=count)
    return [
        say(str(o), ATTRIBUTES[a], int(rng.integers(2)), str(values[a].pop()))
        for o, a in zip(objects, chosen, strict=True)
    ]


def say(o: str, attribute: Attribute, way: int, v: str) -> Saying:
    """The fact that the attribute of object `o` is `v`, in one of two ways."""
    keys = frozenset({f"{attribute.name} of {o}"})
    return Saying(attribute.known[way].format(o=o, v=v), attribute.report.format(o=o, v=v), keys)


def label(noun: str, ordinal: int) -> str:
    """What stands before a medium."""
    return f"The {ORDINALS[ordinal]} {noun}:"


def report_image(shape: str, colour: str, place: str) -> str:
    return f"A {colour} {shape} is drawn {place}."


def report_tone(pitch: str, second: int) -> str:
    return f"A {pitch} tone sounds at second {SECONDS[second]}."


def report_scene(shape: str, colour: str, direction: str) -> str:
    return f"A {colour} {shape} moves {direction}."


def _about_attributes() -> list[Question]:
    return [
        Question(
            f"{a.name} of {o}",
            a.ask.format(o=o),
            f"the {a.name} of the {o}",
            f"Nobody said {a.clause.format(o=o)}.",
        )
        for a in ATTRIBUTES
        for o in OBJECTS
    ]


def _about_media(noun: str, ask: str, absent: str) -> list[Question]:
    return [
        Question(f"{noun} {n}", ask.format(n=n), f"the {n} {noun}", absent.format(n=n))
        for n in ORDINALS
    ]


def _about_shapes() -> list[Question]:
    images = [
        Question(
            f"picture with {s}",
            f"Where is the {s} drawn?",
            f"the drawing of the {s}",
            f"No {s} is drawn.",
        )
        for s in SHAPES
    ]
    scenes = [
        Question(
            f"film with {s}",
            f"Which way does the {s} move?",
            f"the motion of the {s}",
            f"No {s} moves.",
        )
        for s in SHAPES
    ]
    return images + scenes


def _about_pitches() -> list[Question]:
    return [
        Question(
            f"{p} tone",
            f"When does the {p} tone sound?",
            f"the {p} tone",
            f"No {p} tone sounds.",
        )
        for p in PITCHES
    ]


def _catalogue() -> dict[str, Question]:
    every_image = Question(
        "picture", "What do the pictures show?", "every picture", "No picture shows anything."
    )
    questions = [
        *_about_attributes(),
        every_image,
        *_about_media(
            "picture",
            "What does the {n} picture show?",
            "Nothing is seen in the {n} picture.",
        ),
        *_about_media(
            "recording",
            "What is heard in the {n} recording?",
            "Nothing is heard in the {n} recording.",
        ),
        *_about_media("film", "What moves in the {n} film?", "Nothing moves in the {n} film."),
        *_about_shapes(),
        *_about_pitches(),
    ]
    return {question.key: question for question in questions}


QUESTIONS = _catalogue()


def put(questions: Sequence[Question], as_report: bool) -> str:
    """The request that closes a prompt: the questions one by one, or one line that lists them."""
    if not as_report:
        return "\n" + " ".join(question.ask for question in questions)
    names = [question.name for question in questions]
    listed = names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
    return f"\nReport {listed}."


def answer(
    questions: Sequence[Question], facts: Sequence[Fact]
) -> list[tuple[str, tuple[Fact, ...]]]:
    """The sentences of the answer, each with the facts that cause it (none if nothing was told)."""
    sentences: list[tuple[str, tuple[Fact, ...]]] = []
    for question in questions:
        found = [fact for fact in facts if question.key in fact.keys]
        sentences += [(fact.report, (fact,)) for fact in found] or [(question.absent, ())]
    return sentences
