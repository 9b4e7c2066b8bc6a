"""Samples with known evidence for released language models, as folders of JSON lines.

    python -m benchmarks.real_sets OUT

Writes OUT/SET/samples.jsonl, OUT/SET/evidence.jsonl (omnitrace/evidence.py) and, where answers are
given, OUT/SET/responses.jsonl, for every set of `SETS`; and OUT/sides.json: sample id → `choose`
or `report`, the half that settings are chosen on and the half that is reported. Samples that share
a passage are on one side. The same files every time; the texts are in benchmarks/data/real.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT

DATA = ROOT / "benchmarks" / "data" / "real"
SETS = {
    "literal": "given answers that repeat words of their evidence",
    "paraphrased": "given answers that share few words with their evidence",
    "several": "given answers of several sentences, with evidence in several places",
    "own": "the model's own answers, after two examples; right if they hold an accepted answer",
    "needle": "given answers about one sentence in a long prompt",
    "dialogue": "given answers about an earlier turn",
}
SIDES = ("choose", "report")
EXAMPLES = (
    (
        "The mill in Dorley grinds rye on Tuesdays. Its wheel was mended by a smith called Hobbs, "
        "who charged £60.\n\nWho mended the wheel?",
        "A smith called Hobbs mended the wheel.",
    ),
    (
        "Our choir meets in the old fire station. We're thirty singers, and we need a tenor. "
        "Rehearsals begin at noon.\n\nWhere does the choir meet?",
        "The choir meets in the old fire station.",
    ),
)
"""Turns before a question that the model answers itself: Gemma 3 270M is not tuned for chats."""
PROMPTS = (
    "{text}\n\n{question}",
    "{text}\n\nQuestion: {question}",
    "Read the text and answer the question below it.\n\n{text}\n\n{question}",
    "{question} Use this text:\n\n{text}",
)
"""What users write: the question after the text, or before it."""
NEEDLES = {1000: 10, 2000: 6, 4000: 5, 8000: 4, 16000: 1}
"""How many samples of about so many tokens; the longest is too long for SmolLM2."""
CHARS = 3.85
"""Characters a token that a long prompt is planned with: fewer than in either tokenizer."""
DEPTHS = (0.1, 0.5, 0.9, 0.3, 0.7)
"""Where the needle lies, as a share of the prompt."""

_END = re.compile(
    r"(?<!\bDr)(?<!\bMr)(?<!\bMrs)(?<!\bSt)(?<!\b[ap]\.m)(?<!\n\d)[.!?][\"'”’)]*(?=\s)"
    r"|\n\s*\n|\n(?=\s*(?:[-*]|\d+\.)\s)"
)
"""Of a sentence, of a paragraph, of an item of a list."""

Sentence = tuple[str, tuple[str, ...]]
"""A sentence of the answer, empty for each that holds an accepted answer; quotes of the prompt."""


@dataclass(frozen=True)
class Item:
    """A sample: `group` names what it shares with others, and its first word the kind of that;
    `accepted` is empty where the answer is given, and then `sentences` are all of it."""

    id: str
    set: str
    group: str
    messages: list[dict[str, str]]
    sentences: tuple[Sentence, ...]
    accepted: tuple[str, ...] = ()


def items() -> list[Item]:
    """All samples, set by set."""
    found = [*_of_passages(), *_of_corpus(), *_of_needles(), *_of_dialogues()]
    return sorted(found, key=lambda item: list(SETS).index(item.set))


def sides(found: Sequence[Item]) -> dict[str, str]:
    """Sample id → its side: the groups of a kind in turn, in the order of their hashes."""
    side: dict[str, str] = {}
    for kind in dict.fromkeys(item.group.split()[0] for item in found):
        groups = {item.group for item in found if item.group.split()[0] == kind}
        ordered = sorted(groups, key=lambda group: sha256(group.encode()).digest())
        side |= {group: SIDES[at % 2] for at, group in enumerate(ordered)}
    return {item.id: side[item.group] for item in found}


def quote(text: str, fragment: str) -> str:
    """The sentence of `text` that holds `fragment`, whatever its white space is.

    SystemExit unless there is exactly one such place.
    """
    found = list(re.finditer(r"\s+".join(map(re.escape, fragment.split())), text))
    if len(found) != 1:
        raise SystemExit(f"'{fragment}' is there {len(found)} times: {text[:60]}…")
    ends = [0, *(match.end() for match in _END.finditer(text)), len(text)]
    start = max(end for end in ends if end <= found[0].start())
    return text[start : min(end for end in ends if end >= found[0].end())].strip()


def _of_passages() -> Iterator[Item]:
    for passage in _toml("passages")["passage"]:
        name, text = passage["id"], passage["text"].strip()
        group = f"passage {name}"
        for set_name in ("literal", "paraphrased", "several"):
            for number, (question, *answers) in enumerate(passage[set_name]):
                id = f"{set_name}-{name}-{number}"
                sentences = tuple(_sentence(text, answer) for answer in answers)
                yield Item(id, set_name, group, [_user(_prompt(id, text, question))], sentences)
        for number, (question, fragment, *accepted) in enumerate(passage["own"]):
            messages = [_user(_prompt("", text, question))]
            for asked, answered in reversed(EXAMPLES):
                messages = [_user(asked), _assistant(answered), *messages]
            evidence = ("", (quote(text, fragment),))
            yield Item(f"own-{name}-{number}", "own", group, messages, (evidence,), tuple(accepted))


def _of_corpus() -> Iterator[Item]:
    """Questions about documents of a corpus."""
    for line in (DATA / "ewt_questions.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        text, question = row["text"], row["question"]
        sentences = tuple(_sentence(text, [s["text"], *s["evidence"]]) for s in row["sentences"])
        message = _user(_prompt(row["id"], text, question))
        yield Item(f"literal-{row['id']}", "literal", f"document {text}", [message], sentences)


def _of_needles() -> Iterator[Item]:
    documents = (DATA / "ewt_documents.txt").read_text("utf-8").strip().split("\n\n")
    needles = _toml("needles")["needles"]
    for tokens, count in NEEDLES.items():
        for number in range(count):
            place = (number + tokens // 1000) % len(needles)
            needle, question, answer = needles[place]
            text = _haystack(documents, needle, tokens, number)
            id = f"needle-{tokens // 1000}k-{number}"
            sentences = ((answer, (needle,)),)
            message = _user(f"{text}\n\n{question}")
            yield Item(id, "needle", f"needle {place}", [message], sentences)


def _haystack(documents: Sequence[str], needle: str, tokens: int, number: int) -> str:
    """Documents of about so many tokens, with the needle as a paragraph among them."""
    first = 29 * number % len(documents)
    length, chosen = 0, list[str]()
    for document in [*documents[first:], *documents[:first]]:
        if length + len(document) > (tokens - 100) * CHARS:
            break
        chosen.append(document)
        length += len(document)
    at = round(DEPTHS[number % len(DEPTHS)] * len(chosen))
    return "\n\n".join([*chosen[:at], needle, *chosen[at:]])


def _of_dialogues() -> Iterator[Item]:
    for dialogue in _toml("dialogues")["dialogue"]:
        turns, name = dialogue["turns"], dialogue["id"]
        text = "\n\n".join(turns)
        messages = [(_assistant if at % 2 else _user)(turn) for at, turn in enumerate(turns)]
        for number, (question, *answers) in enumerate(dialogue["ask"]):
            sentences = tuple(_sentence(text, answer) for answer in answers)
            id = f"dialogue-{name}-{number}"
            yield Item(id, "dialogue", f"dialogue {name}", [*messages, _user(question)], sentences)


def _sentence(text: str, answer: Sequence[str]) -> Sentence:
    said, *fragments = answer
    return said, tuple(dict.fromkeys(quote(text, fragment) for fragment in fragments))


def _prompt(id: str, text: str, question: str) -> str:
    """Text and question in one of the forms of `PROMPTS`, by the id; the first without one."""
    number = sha256(id.encode()).digest()[0] % len(PROMPTS) if id else 0
    return PROMPTS[number].format(text=text, question=question)


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads((DATA / f"{name}.toml").read_text("utf-8"))


def write(folder: Path) -> list[Item]:
    """Write all sets into `folder`; returns the samples."""
    found = items()
    for name in SETS:
        own = [item for item in found if item.set == name]
        target = folder / name
        target.mkdir(parents=True, exist_ok=True)
        _lines(target / "samples.jsonl", [{"id": i.id, "messages": i.messages} for i in own])
        _lines(target / "evidence.jsonl", [evidence_row(item) for item in own])
        given = [{"id": i.id, "text": " ".join(s for s, _ in i.sentences)} for i in own]
        if not any(item.accepted for item in own):
            _lines(target / "responses.jsonl", given)
    (folder / "sides.json").write_text(json.dumps(sides(found), indent=0) + "\n", "utf-8")
    return found


def evidence_row(item: Item) -> dict[str, Any]:
    """The line of an evidence file."""
    sentences = [{"text": said} if said else {} for said, _ in item.sentences]
    rows = [
        {**row, "evidence": list(quotes)}
        for row, (_, quotes) in zip(sentences, item.sentences, strict=True)
    ]
    accepted = {"accepted": list(item.accepted)} if item.accepted else {}
    return {"id": item.id, **accepted, "sentences": rows}


def _lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if not path.exists() or path.read_text("utf-8") != text:  # others may be reading it
        path.write_text(text, "utf-8")


def main(folder: Path) -> None:
    found = write(folder)
    side = sides(found)
    for name, what in SETS.items():
        own = [side[item.id] for item in found if item.set == name]
        counts = ", ".join(f"{own.count(one)} to {one}" for one in SIDES)
        print(f"{name}: {len(own)} samples ({counts}): {what}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
