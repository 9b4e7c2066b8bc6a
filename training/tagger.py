"""Trains the bundled tagger: English words, universal parts of speech and sentences, for spaCy.

`python -m training.tagger --data DIR --out DIR [--epochs N] [--seed N] [--results FILE]` reads
`en_ewt-ud-{train,dev,test}.conllu.gz` and `LICENSE.txt` of UD English EWT from DIR, trains on one
core, leaves a usable pipeline in OUT after every epoch, and measures what it left there through
`recorder.tags`, as a user gets it. Knows nothing of models, runs and traces.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from spacy.about import __version__ as spacy_version
from spacy.lang.en import English
from spacy.language import Language
from spacy.tokenizer import Tokenizer
from spacy.tokens import Doc
from spacy.training import Example
from spacy.training.batchers import minibatch_by_words
from spacy.util import compile_prefix_regex, compile_suffix_regex
from thinc.api import Adam, fix_random_seed

from recorder.tags import Tagger, Tags, load_tagger
from training.conllu import Gold, Sentence, read_conllu, written

SPLITS = ("train", "dev", "test")
PASSAGE_LENGTHS = (1, 1, 2, 3, 4, 6, 8)  # sentences
BATCH = 1000  # words
PEAK_RATE = 0.002
WARMUP = 100  # batches
DROPOUT = 0.25

# Hashed features of a word and the rows of their tables. SPACY: does white space follow?
TAGGER_WIDTH = 96
TAGGER_ROWS = {"NORM": 4000, "PREFIX": 500, "SUFFIX": 2500, "SHAPE": 1000}
SPLITTER_WIDTH = 32
SPLITTER_ROWS = {"NORM": 2000, "PREFIX": 500, "SUFFIX": 1000, "SHAPE": 500, "SPACY": 16}

CLOSED = {"ADP", "AUX", "CCONJ", "DET", "PART", "PRON", "SCONJ"}
NUMERALS = (
    *("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
    *("thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"),
)
CURLED = str.maketrans({"'": "’", '"': "”"})

ATTRIBUTION = """\
# The bundled tagger: where it comes from

A spaCy pipeline (tokenizer, universal part-of-speech tagger, sentence splitter) trained by
`training/tagger.py` of OmniTrace on the training set of

> UD English EWT, the Universal Dependencies English Web Treebank,
> <https://github.com/UniversalDependencies/UD_English-EWT>, CC BY-SA 4.0.
> Natalia Silveira, Timothy Dozat, Marie-Catherine de Marneffe, Samuel Bowman, Miriam Connor,
> John Bauer and Christopher D. Manning: A Gold Standard Dependency Corpus for English, Proceedings
> of the Ninth International Conference on Language Resources and Evaluation (LREC 2014).

The corpus was changed in training: sentences were joined in other orders, put in the present tense,
and given other numerals, capitals, quotation marks and full stops; rare words were hidden at times.
The weights are not the corpus, which cannot be read from them.

This folder is licensed, as the corpus is, under the Creative Commons Attribution-ShareAlike 4.0
International licence: see `LICENSE.txt`. It comes without any warranty. The rest of OmniTrace is
under the MIT licence.
"""


# The pipeline


def build_pipeline() -> Language:
    """An untrained pipeline: a POS tagger and a sentence splitter, each with its own small CNN."""
    nlp = English()
    _adapt_tokenizer(nlp)
    nlp.add_pipe("morphologizer", config={"model": _network(TAGGER_WIDTH, TAGGER_ROWS)})
    nlp.add_pipe("senter", config={"model": _network(SPLITTER_WIDTH, SPLITTER_ROWS)})
    nlp.meta.update(
        name="omnitrace_ud_ewt",
        version="1.0.0",
        description="Words, universal parts of speech and sentences of English text",
        author="OmniTrace",
        license="CC BY-SA 4.0",
        sources=[{"name": "UD English EWT", "license": "CC BY-SA 4.0"}],
        spacy_version=">=3.8.0,<3.9.0",
    )
    return nlp


def _network(width: int, rows: dict[str, int]) -> dict[str, Any]:
    embed = {
        "@architectures": "spacy.MultiHashEmbed.v2",
        "width": width,
        "attrs": list(rows),
        "rows": list(rows.values()),
        "include_static_vectors": False,
    }
    encode = {
        "@architectures": "spacy.MaxoutWindowEncoder.v2",
        "width": width,
        "depth": 4,
        "window_size": 1,
        "maxout_pieces": 2,
    }
    tok2vec = {"@architectures": "spacy.Tok2Vec.v2", "embed": embed, "encode": encode}
    return {"@architectures": "spacy.Tagger.v2", "tok2vec": tok2vec}


def _adapt_tokenizer(nlp: Language) -> None:
    """As the corpus has them: runs of one sign, phone numbers and prefixed words are one word.

    And "s." is two, so that "it ends at 4 s. It is low." may end there.
    """
    runs = [r"[!?]{2,}", *(rf"\{sign}{{2,}}" for sign in "_=*-#~<>+")]
    number = r"\(?\+?\d+\)?(?:[-.]\d+){2,}"
    prefixed = r"(?i:e|co|non|pre|re|semi|anti|mid|post|multi)-[a-zA-Z]+"
    prefixes, suffixes = nlp.Defaults.prefixes or [], nlp.Defaults.suffixes or []
    assert isinstance(nlp.tokenizer, Tokenizer)
    kept = {w: r for w, r in (nlp.tokenizer.rules or {}).items() if not re.fullmatch(r"[a-z]\.", w)}
    nlp.tokenizer.rules = kept
    nlp.tokenizer.prefix_search = compile_prefix_regex([*runs, *prefixes]).search
    nlp.tokenizer.suffix_search = compile_suffix_regex([*runs, *suffixes]).search
    nlp.tokenizer.token_match = re.compile(rf"^(?:{number}|{prefixed})$").match


# What it learns from


class Corpus:
    """Training examples without end: the sentences joined, and altered differently each epoch."""

    def __init__(self, documents: list[list[Sentence]], seed: int) -> None:
        self.documents = documents
        self.rng = random.Random(seed)
        sentences = [sentence for document in documents for sentence in document]
        tagged = [(w.lower(), p) for s in sentences for w, p in zip(s.words, s.pos, strict=True)]
        self.counts = Counter(word for word, _ in tagged)
        self.closed = {word for word, pos in tagged if pos in CLOSED}

    def epoch(self, nlp: Language) -> Iterator[Example]:
        """Every sentence once, in passages; half of these are of unrelated sentences."""
        passages = [p for document in self.documents for p in self._cut(document)]
        self.rng.shuffle(passages)
        half = len(passages) // 2
        unrelated = [sentence for passage in passages[:half] for sentence in passage]
        self.rng.shuffle(unrelated)
        passages = [*passages[half:], *self._cut(unrelated)]
        self.rng.shuffle(passages)
        for passage in passages:
            yield self._example(nlp, [self._altered(sentence) for sentence in passage])

    def _cut(self, sentences: list[Sentence]) -> Iterator[list[Sentence]]:
        start = 0
        while start < len(sentences):
            end = start + self.rng.choice(PASSAGE_LENGTHS)
            yield sentences[start:end]
            start = end

    def _altered(self, sentence: Sentence) -> Sentence:
        """Towards what models answer: more in the present, with more numerals, and written well."""
        words, pos, spaces = list(sentence.words), list(sentence.pos), list(sentence.spaces)
        if self.rng.random() < 0.4:
            words = list(sentence.present)
        if self.rng.random() < 0.25:
            words = [self.rng.choice(NUMERALS) if w in NUMERALS else w for w in words]
        if self.rng.random() < 0.5:
            named = zip(words, pos, strict=True)
            words = [w.capitalize() if p == "PROPN" and w.islower() else w for w, p in named]
        if self.rng.random() < 0.05:
            words = [word.translate(CURLED) for word in words]
        unfinished = len(words) > 2 and pos[-1] not in ("PUNCT", "SYM", "X")
        if unfinished and self.rng.random() < 0.5:
            words.append(".")
            pos.append("PUNCT")
            spaces[-1:] = [False, True]
        return replace(sentence, words=tuple(words), pos=tuple(pos), spaces=tuple(spaces))

    def _example(self, nlp: Language, passage: Sequence[Sentence]) -> Example:
        gold = _document(nlp, passage)
        predicted = nlp.make_doc(gold.text)
        for word in predicted:
            # Rare words are hidden at times, so that unknown ones are recognised by suffix and
            # context, but never those of closed classes, which an unknown word does not belong to.
            share = 1 / (1 + self.counts[word.lower_])
            hidable = word.is_alpha and word.lower_ not in self.closed
            if hidable and self.rng.random() < share:
                word.norm_ = f"?{self.rng.randrange(20_000)}"
        return Example(predicted, gold)


def _document(nlp: Language, passage: Sequence[Sentence]) -> Doc:
    """The passage as a gold document; sentences are always set apart by a space."""
    return Doc(
        nlp.vocab,
        words=[word for sentence in passage for word in sentence.words],
        spaces=[space for sentence in passage for space in (*sentence.spaces[:-1], True)],
        pos=[pos for sentence in passage for pos in sentence.pos],
        sent_starts=[i == 0 for sentence in passage for i in range(len(sentence.words))],
    )


# Training


def train(documents: list[list[Sentence]], out: Path, epochs: int, seed: int) -> None:
    """Train on `documents`; after every epoch the pipeline so far is in `out`."""
    fix_random_seed(seed)
    corpus = Corpus(documents, seed)
    nlp = build_pipeline()
    sample = list(corpus.epoch(nlp))
    nlp.initialize(lambda: sample)
    optimizer = Adam(PEAK_RATE, L2=0.01, L2_is_weight_decay=True, use_averages=True)
    steps = epochs * sum(map(len, sample)) / BATCH
    step = 0
    for epoch in range(epochs):
        began = time.monotonic()
        losses: dict[str, float] = {}
        for batch in minibatch_by_words(corpus.epoch(nlp), BATCH):
            step += 1
            optimizer.learn_rate = PEAK_RATE * min(step / WARMUP, max(0.02, 1 - step / steps))
            nlp.update(batch, sgd=optimizer, drop=DROPOUT, losses=losses)
        with nlp.use_params(optimizer.averages):
            nlp.to_disk(out, exclude=["vocab"])
        _say(f"epoch {epoch + 1}/{epochs}: {time.monotonic() - began:.0f} s, {_rounded(losses)}")


def _rounded(losses: dict[str, float]) -> str:
    return ", ".join(f"{name} loss {loss:.0f}" for name, loss in losses.items())


# Measuring


def evaluate(tagger: Tagger, documents: list[list[Sentence]]) -> dict[str, float]:
    """Scores from 0 to 1, all but `upos_gold_words` (an accuracy) F1 on raw text.

    `sentences` is on documents run together, without line breaks; `sentences_lines` with a line
    for each paragraph; `sentences_clean` on texts of eight sentences that each begin with a capital
    and end with a full stop, a question mark or an exclamation mark, as answers of models do.
    """
    together = [written(document) for document in documents]
    in_lines = [written(document, lines=True) for document in documents]
    clean = [written(passage) for passage in _clean(documents)]
    tags = [tagger.tag(gold.text) for gold in together]
    return {
        "words": _f1([gold.words for gold in together], [_words(t) for t in tags]),
        "upos": _f1(
            [zip(gold.words, gold.pos, strict=True) for gold in together],
            [zip(_words(t), t.pos, strict=True) for t in tags],
        ),
        "upos_gold_words": _accuracy(tagger.nlp, documents),
        "sentences": _sentences_f1(together, tags),
        "sentences_lines": _sentences_f1(in_lines, [tagger.tag(gold.text) for gold in in_lines]),
        "sentences_clean": _sentences_f1(clean, [tagger.tag(gold.text) for gold in clean]),
    }


def _clean(documents: list[list[Sentence]]) -> Iterator[list[Sentence]]:
    kept = [s for document in documents for s in document if _is_clean(s)]
    for start in range(0, len(kept), 8):
        yield kept[start : start + 8]


def _is_clean(sentence: Sentence) -> bool:
    first, last = sentence.words[0], sentence.words[-1]
    long_enough = len(sentence.words) > 3
    return long_enough and first[0].isupper() and last in (".", "?", "!") and sentence.spaces[-1]


def _words(tags: Tags) -> list[tuple[int, int]]:
    return list(zip(tags.starts.tolist(), tags.ends.tolist(), strict=True))


def _sentences_f1(golds: list[Gold], tags: list[Tags]) -> float:
    return _f1([gold.sentences for gold in golds], [map(tuple, t.sentences.tolist()) for t in tags])


def _f1(gold: Sequence[Iterable[Hashable]], found: Sequence[Iterable[Hashable]]) -> float:
    """Over all texts, of the things that each text has."""
    pairs = [(set(wanted), set(given)) for wanted, given in zip(gold, found, strict=True)]
    shared = sum(len(wanted & given) for wanted, given in pairs)
    return round(2 * shared / sum(len(wanted) + len(given) for wanted, given in pairs), 4)


def _accuracy(nlp: Language, documents: list[list[Sentence]]) -> float:
    """Share of the treebank's own words that get their UPOS tag."""
    golds = [_document(nlp, document) for document in documents]
    blanks = (Doc(nlp.vocab, [w.text for w in g], [bool(w.whitespace_) for w in g]) for g in golds)
    pairs = [
        (word.pos_, wanted.pos_)
        for doc, gold in zip(nlp.pipe(blanks), golds, strict=True)
        for word, wanted in zip(doc, gold, strict=True)
    ]
    return round(sum(given == wanted for given, wanted in pairs) / len(pairs), 4)


# The command


def main(argv: Sequence[str] | None = None) -> None:
    """Train, measure, and print the figures as JSON (`--results` also writes them to a file)."""
    arguments = _parser().parse_args(argv)
    began = time.monotonic()
    splits = {s: read_conllu(arguments.data / f"en_ewt-ud-{s}.conllu.gz") for s in SPLITS}
    train(splits["train"], arguments.out, arguments.epochs, arguments.seed)
    shutil.copyfile(arguments.data / "LICENSE.txt", arguments.out / "LICENSE.txt")
    (arguments.out / "ATTRIBUTION.md").write_text(ATTRIBUTION, encoding="utf-8")
    trained = time.monotonic()
    tagger = load_tagger(str(arguments.out))
    figures = {
        "pipeline": tagger.name,
        "spacy": spacy_version,
        "epochs": arguments.epochs,
        "seed": arguments.seed,
        "train_seconds": round(trained - began),
        "train_cpu_seconds": round(time.process_time()),
        "bytes": sum(file.stat().st_size for file in arguments.out.rglob("*") if file.is_file()),
        "dev": evaluate(tagger, splits["dev"]),
        "test": evaluate(tagger, splits["test"]),
    }
    report = json.dumps(figures, indent=2)
    print(report)
    if arguments.results:
        arguments.results.write_text(report + "\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.tagger", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of UD English EWT")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pipeline")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, help="file for the figures, as JSON")
    return parser


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
