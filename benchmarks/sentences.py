"""Sentences of 200 answers labelled by hand: which cuts are found, by which way to split.

`python -m benchmarks.sentences` writes results/sentences.json: precision, recall and F1 of the
cuts, of the half that the rules were written with and of the held-out half. A cut is the
character at which a sentence begins; the first of an answer does not count. Ways: `plain`, as
version 1 of the splitter did it (each line by itself, by spaCy); `rules`, without a pipeline;
`tagger`, what recording uses. `--show develop` prints the answers that `tagger` cuts otherwise.
`--treebank FILE` (`en_ewt-ud-test.conllu.gz` of Universal Dependencies) adds text by other authors:
its paragraphs, all and those of which every sentence ends with a stop.
"""

from __future__ import annotations

import argparse
import gzip
from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

from benchmarks.common import save
from omnitrace.arrays import Int32
from omnitrace.splitting import sentences_of
from recorder.tags import load_tagger
from tests.omnitrace.answers import Labelled, first_words, labelled_answers

Split = Callable[[str], Int32]


def ways() -> dict[str, Split]:
    """Each way to split, from a text to its sentences (K, 2)."""
    tagger = load_tagger()
    plain = replace(tagger, splitter="plain")
    return {
        "plain": lambda text: plain.tag(text).sentences,
        "rules": sentences_of,
        "tagger": lambda text: tagger.tag(text).sentences,
    }


def cuts(split: Split, text: str) -> frozenset[int]:
    """Where the second and later sentences begin."""
    return first_words(text, split(text)[1:, 0].tolist())


def scores(split: Split, answers: list[Labelled]) -> dict[str, float]:
    """Precision, recall and F1 of all cuts, and the share of answers that are cut as labelled."""
    found = [cuts(split, answer.text) for answer in answers]
    right = sum(len(cut & answer.starts) for cut, answer in zip(found, answers, strict=True))
    named, true = sum(map(len, found)), sum(len(answer.starts) for answer in answers)
    exact = sum(cut == answer.starts for cut, answer in zip(found, answers, strict=True))
    return {
        "precision": round(right / named, 4),
        "recall": round(right / true, 4),
        "f1": round(2 * right / (named + true), 4),
        "answers_right": round(exact / len(answers), 4),
    }


def show(split: Split, answers: list[Labelled]) -> None:
    """Print the answers that are cut otherwise: ¶ right, ⊖ missed, ⊕ too many."""
    for answer in answers:
        found = cuts(split, answer.text)
        if found == answer.starts:
            continue
        marks = dict.fromkeys(found & answer.starts, "¶")
        marks |= dict.fromkeys(answer.starts - found, "⊖") | dict.fromkeys(
            found - answer.starts, "⊕"
        )
        marked = "".join(marks.get(i, "") + char for i, char in enumerate(answer.text))
        print(f"=== {answer.id}\n{marked}\n")


def treebank(path: Path) -> dict[str, list[Labelled]]:
    """The paragraphs of a gzipped CoNLL-U file, their sentences joined by spaces."""
    paragraphs: list[list[str]] = []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith(("# newdoc", "# newpar")):
                paragraphs.append([])
            elif line.startswith("# text = "):
                paragraphs[-1].append(line.removeprefix("# text = ").strip())
    long = [paragraph for paragraph in paragraphs if len(paragraph) > 1]
    stopped = [some for some in long if all(s.rstrip("\"')”’")[-1:] in ".!?" for s in some)]
    return {"treebank": _joined(long), "its stopped": _joined(stopped)}


def _joined(paragraphs: list[list[str]]) -> list[Labelled]:
    found = []
    for number, sentences in enumerate(paragraphs):
        ends = accumulate(len(sentence) + 1 for sentence in sentences[:-1])
        found.append(Labelled(str(number), " ".join(sentences), frozenset(ends), True))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--treebank", type=Path)
    parser.add_argument("--show", choices=("develop", "held-out"))
    chosen = parser.parse_args()
    answers = labelled_answers()
    halves = {
        "develop": [answer for answer in answers if not answer.held_out],
        "held-out": [answer for answer in answers if answer.held_out],
    }
    if chosen.treebank:
        halves |= treebank(chosen.treebank)
    if chosen.show:
        show(ways()["tagger"], halves[chosen.show])
        return
    table = {
        way: {half: scores(split, some) for half, some in halves.items()}
        for way, split in ways().items()
    }
    counts = {half: sum(len(answer.starts) for answer in some) for half, some in halves.items()}
    for way, of_halves in table.items():
        for half, values in of_halves.items():
            print(f"{way:7} {half:11}", *(f"{name} {value:.3f}" for name, value in values.items()))
    print(f"cuts: {counts}; {save('sentences', {'cuts': counts, 'ways': table})}")


if __name__ == "__main__":
    main()
