"""The tagger's trainer, on a treebank of a dozen sentences written here."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from recorder.tags import load_tagger
from training.conllu import read_conllu, third_person, written
from training.tagger import build_pipeline, evaluate, main

SENTENCES = """\
The/DET dog/NOUN runs/VERB ./PUNCT
A/DET red/ADJ circle/NOUN is/AUX here/ADV ./PUNCT
Anna/PROPN weighs/VERB two/NUM parcels/NOUN ./PUNCT
We/PRON do+n't/AUX+PART know/VERB !/PUNCT
The/DET cat/NOUN and/CCONJ the/DET dog/NOUN sleep/VERB ./PUNCT
They/PRON can/AUX see/VERB it/PRON ./PUNCT
It/PRON is/AUX in/ADP the/DET garden/NOUN ./PUNCT
Three/NUM birds/NOUN sing/VERB ./PUNCT
He/PRON said/VERB that/SCONJ it/PRON was/AUX late/ADJ ./PUNCT
She/PRON picked/VERB green/ADJ tea/NOUN ./PUNCT
Where/ADV is/AUX Tom/PROPN ?/PUNCT
Paul/PROPN wants/VERB to/PART go/VERB ./PUNCT
""".splitlines()


def _conllu(sentences: list[str]) -> str:
    """CoNLL-U of `word/POS` lines: two documents, a paragraph a sentence; '+' joins contractions,
    and the final mark follows its word without a space."""
    blocks = []
    for number, sentence in enumerate(sentences):
        rows, index = [], 1
        items = sentence.split()
        for place, item in enumerate(items):
            forms, tags = (part.split("+") for part in item.split("/"))
            misc = "SpaceAfter=No" if place == len(items) - 2 else "_"
            if len(forms) > 1:
                span = f"{index}-{index + len(forms) - 1}"
                rows.append("\t".join([span, "".join(forms), *"_______", misc]))
                misc = "_"
            for form, tag in zip(forms, tags, strict=True):
                kind = "VBD" if tag == "VERB" and form.endswith("ed") else "_"
                rows.append("\t".join([str(index), form, form[:-2], tag, kind, *"____", misc]))
                index += 1
        rows.append("\t".join([f"{index - 1}.1", "elided", "elided", "VERB", *"______"]))
        begins = ["# newdoc id = d"] if number % 6 == 0 else []
        blocks.append("\n".join([*begins, f"# newpar id = p{number}", *rows]))
    return "\n\n".join(blocks) + "\n\n"


@pytest.fixture(scope="module")
def treebank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("treebank")
    text = _conllu(SENTENCES).encode()
    for split in ("train", "dev", "test"):
        (folder / f"en_ewt-ud-{split}.conllu.gz").write_bytes(gzip.compress(text))
    (folder / "LICENSE.txt").write_text("a licence")
    return folder


def test_reads_documents_contractions_and_spaces(treebank: Path) -> None:
    documents = read_conllu(treebank / "en_ewt-ud-train.conllu.gz")
    assert [len(document) for document in documents] == [6, 6]
    know = documents[0][3]
    assert know.words == ("We", "do", "n't", "know", "!")
    assert know.pos == ("PRON", "AUX", "PART", "VERB", "PUNCT")
    assert documents[1][3].words[:3] == ("She", "picked", "green")
    assert documents[1][3].present[:3] == ("She", "picks", "green")
    gold = written(documents[0][2:4])
    assert gold.text == "Anna weighs two parcels. We don't know! "
    assert [gold.text[a:b] for a, b in gold.sentences] == [
        "Anna weighs two parcels.",
        "We don't know!",
    ]
    assert [gold.text[a:b] for a, b in gold.words[:4]] == ["Anna", "weighs", "two", "parcels"]


@pytest.mark.parametrize(
    ("verb", "form"),
    [("weigh", "weighs"), ("go", "goes"), ("carry", "carries"), ("say", "says"), ("have", "has")],
)
def test_third_person(verb: str, form: str) -> None:
    assert third_person(verb) == form


def test_a_paragraph_is_a_line(treebank: Path) -> None:
    documents = read_conllu(treebank / "en_ewt-ud-dev.conllu.gz")
    gold = written(documents[1][:2], lines=True)
    assert gold.text.rstrip() == "It is in the garden.\nThree birds sing."
    assert gold.text[slice(*gold.sentences[1])] == "Three birds sing."


def test_trains_saves_and_measures(treebank: Path, tmp_path: Path) -> None:
    out, results = tmp_path / "tagger", tmp_path / "results.json"
    arguments = ["--data", treebank, "--out", out, "--results", results, "--epochs", 1]
    main([str(argument) for argument in arguments])
    figures = json.loads(results.read_text())
    assert figures["dev"] == figures["test"]
    assert figures["test"]["words"] == 1.0
    assert 0 < figures["test"]["upos"] < 1
    assert figures["bytes"] == sum(f.stat().st_size for f in out.rglob("*") if f.is_file())
    assert (out / "LICENSE.txt").read_text() == "a licence"
    assert "UD English EWT" in (out / "ATTRIBUTION.md").read_text()
    assert len(load_tagger(str(out)).tag("The dog runs.").pos) == 4


def test_the_same_seed_gives_the_same_weights(treebank: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        data = ["--data", str(treebank), "--out", str(tmp_path / name), "--epochs", "1"]
        main([*data, "--seed", "7"])
    models = [tmp_path / name / "morphologizer" / "model" for name in ("a", "b")]
    assert models[0].read_bytes() == models[1].read_bytes()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Wow!!! What?!", ["Wow", "!!!", "What", "?!"]),
        ("*** 3 ***bold***", ["***", "3", "***", "bold", "***"]),
        ("Call 713-646-3393, e-mail them.", ["Call", "713-646-3393", ",", "e-mail", "them", "."]),
        ("It ends at 4 s. J. Doe", ["It", "ends", "at", "4", "s", ".", "J.", "Doe"]),
        ("We don't.", ["We", "do", "n't", "."]),
    ],
)
def test_cuts_words_as_the_treebank_does(text: str, words: list[str]) -> None:
    assert [word.text for word in build_pipeline().make_doc(text)] == words


def test_scores_are_right_for_a_tagger_that_knows_one_word(treebank: Path) -> None:
    from spacy.lang.en import English

    from recorder.tags import Tagger

    nlp = English()
    nlp.add_pipe("sentencizer", config={"punct_chars": ["!"]})
    nlp.add_pipe("attribute_ruler").add([[{"TEXT": "dog"}]], {"POS": "NOUN"})  # type: ignore[attr-defined]
    scores = evaluate(
        Tagger(nlp, "poor", "plain"), read_conllu(treebank / "en_ewt-ud-test.conllu.gz")
    )
    words = sum(line.count("/") + line.count("+") // 2 for line in SENTENCES)
    assert words == 63
    assert scores["words"] == 1.0
    assert scores["upos"] == scores["upos_gold_words"] == pytest.approx(2 / words, abs=1e-4)
    assert scores["sentences_lines"] == 1.0
    # documents run together: of 12 sentences it finds 3 stretches, none of them one sentence
    assert scores["sentences"] == 0.0
