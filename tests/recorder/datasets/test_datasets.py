"""Every importer on a miniature in the published format: what comes out, and what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from omnitrace import CommandError, OmniTraceError, open_run
from omnitrace.cli import main
from recorder.config import RecordConfig
from recorder.datasets import DATASETS, read_dataset
from recorder.datasets.items import Item, MediaFile, index_of_letter, lettered
from recorder.datasets.media import DatasetMedia, image_suffix
from recorder.datasets.write import write_dataset
from recorder.inputs.samples import read_samples
from recorder.record import record
from replay import attribute
from replay.evaluation.options import choose, read_options
from tests.recorder.datasets import miniatures
from tests.recorder.datasets.miniatures import MINIATURES, mantis_row, mmau_row, parquet, png


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def shown(item: Item) -> list[str]:
    """The prompt, media by the names of their files."""
    return [
        f"<{part.kind} {part.path.name if part.path else part.name}>"
        if isinstance(part, MediaFile)
        else part
        for part in item.parts
    ]


def items(name: str, folder: Path) -> list[Item]:
    return list(read_dataset(name, MINIATURES[name](folder)))


def test_mantis(tmp_path: Path) -> None:
    choice, short = items("mantis-eval", tmp_path)
    assert shown(choice)[:3] == ["<image a.png>", "<image b.png>", " Which picture is darker?"]
    assert shown(choice)[3:5] == ["\n(A) The first", "\n(B) The second"]
    assert (choice.options, choice.answer) == (("(A) The first", "(B) The second"), 0)
    assert shown(short)[:3] == ["<image a.png>", "<image b.png>", "How many pictures are there?"]
    assert (short.options, short.answer, short.reference) == ((), None, "two")


def test_mmdialog(tmp_path: Path) -> None:
    [talk] = items("mmdialog", tmp_path)
    assert shown(talk) == [
        "Summarise the conversation.",
        "\nHere is my town. It is small.",
        "<image 2682085160072908899.jpg>",
        "\nLovely! :star: And this is mine.",
        "<image -5632896413199993329.jpg>",
        "\nIt certainly is!!",
    ]
    assert (talk.id, talk.reference) == ("0", "")


def test_cliconsummation(tmp_path: Path) -> None:
    ear, fever = items("cliconsummation", tmp_path)
    assert shown(ear)[1:] == [
        "\nPatient: My ear is plugged.",
        "\nDoctor: Show me,\nplease.",
        "\nPatient: Look at it, ",
        "<image S22_3_1.jpg>",
        ". Is it bad?",
        "\nDoctor: I see slight redness.",
    ]
    assert (ear.id, ear.reference[:29]) == ("29211", "The patient has a plugged ear")
    assert shown(fever)[1:] == ["\nPatient: I have a fever.", "\nDoctor: It is nothing."]


def test_mmau(tmp_path: Path) -> None:
    known, unknown = items("mmau", tmp_path)
    assert shown(known)[:4] == [
        "<audio 3fe64f3d.wav>",
        "Who is speaking?",
        "\nA. Man",
        "\nB. Woman",
    ]
    assert (known.answer, unknown.answer) == (1, None)


def test_misp(tmp_path: Path) -> None:
    first, second = items("misp-meeting", tmp_path)
    assert shown(first) == ["<audio M001.wav>", "\nSummarise the meeting."]
    assert (first.id, first.reference) == ("M001", "他们谈了预算。")
    assert (second.id, second.reference) == ("M002", "")


def test_videomme(tmp_path: Path) -> None:
    there, gone = items("video-mme", tmp_path)
    assert shown(there)[:3] == [
        "<video fFjv93ACGo8.mp4>",
        "How does the film grow?",
        "\nA. Darker.",
    ]
    assert (there.answer, there.missing, gone.missing) == (1, [], ["not-there.mp4"])


@pytest.mark.parametrize("name", DATASETS)
def test_the_whole_way_from_the_published_file_to_sources(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """GIVEN a data set in small THEN it is imported, recorded by the bundled model, attributed."""
    source, out = MINIATURES[name](tmp_path), tmp_path / "out" / "made.jsonl"
    status = main(["dataset", name, str(source), str(out), "--limit", "1"])
    assert (status, capsys.readouterr().err.count("\n")) == (0, 1)
    [sample] = read_samples(out)
    summary = record(out, tmp_path / "run", RecordConfig(max_new_tokens=6, signals="attmean"))
    assert (summary.recorded, summary.failed) == (1, {})
    trace = open_run(tmp_path / "run")[sample.id]
    attribution = attribute(trace)
    assert attribution.spans
    options = tmp_path / "out" / "made.options.jsonl"
    if options.exists():  # every option is a unit of its own
        [row] = lines(options)
        said = [" ".join(text.split()) for text in attribution.units.text if text]
        assert [option for option in row["options"] if option in said] == row["options"]
        assert row["options"][row["answer"]] == sample.answer
        choice = choose(attribution, trace, read_options(options).by_id[sample.id])
        assert len(choice.mass) == len(row["options"])
        assert not choice.shared


def test_files_beside_the_samples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = MINIATURES["mantis-eval"](tmp_path)
    assert main(["dataset", "mantis-eval", str(source), str(tmp_path / "m.jsonl")]) == 0
    assert "2 samples, with m.options.jsonl and m.references.jsonl" in capsys.readouterr().err
    assert lines(tmp_path / "m.references.jsonl") == [{"id": "mantis_eval_1", "reference": "two"}]
    [options] = lines(tmp_path / "m.options.jsonl")
    assert options == {
        "id": "mantis_eval_0",
        "options": ["(A) The first", "(B) The second"],
        "answer": 0,
    }
    pictures = sorted((tmp_path / "m.media").iterdir())  # two bytes' worth, though named four times
    assert [path.read_bytes() in (png(20), png(200)) for path in pictures] == [True, True]
    first = lines(tmp_path / "m.jsonl")[0]["messages"][0]["content"][0]
    assert first["image"].startswith("m.media/")


def test_samples_without_their_media_are_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = MINIATURES["video-mme"](tmp_path)
    assert main(["dataset", "video-mme", str(source), str(tmp_path / "v.jsonl")]) == 1
    said = capsys.readouterr().err
    assert "1 samples are left out, for their media are not there: '002-1' (not-there.mp4)" in said
    assert [row["id"] for row in lines(tmp_path / "v.jsonl")] == ["001-1"]
    (tmp_path / "empty").mkdir()
    flags = ["--media", str(tmp_path / "empty")]
    assert main(["dataset", "video-mme", str(source), str(tmp_path / "w.jsonl"), *flags]) == 1
    assert "nothing was written" in capsys.readouterr().err
    assert not (tmp_path / "w.jsonl").exists()


def test_an_import_never_writes_over_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.jsonl").write_text("mine")
    source = MINIATURES["mmau"](tmp_path)
    assert main(["dataset", "mmau", str(source), str(tmp_path / "m.jsonl")]) == 2
    assert "is there already" in capsys.readouterr().err
    assert (tmp_path / "m.jsonl").read_text() == "mine"


MANTIS_FAULTS: dict[str, dict[str, Any]] = {
    "field 'answer': 'E' names none of its 2 options; legal: A, B": {"answer": "E"},
    "it marks 2 pictures, and there are 1": {"images": [{"bytes": png(1), "path": None}]},
    "picture 1 has neither bytes nor path": {"images": [{"bytes": None, "path": None}]},
    "Expected `array`, got `str` - at `$.options`": {"options": "A or B"},
    "Invalid enum value 'essay' - at `$.question_type`": {"question_type": "essay"},
}


@pytest.mark.parametrize("says", MANTIS_FAULTS)
def test_a_wrong_row_is_named(tmp_path: Path, says: str) -> None:
    source = parquet(tmp_path / "m.parquet", [mantis_row(**MANTIS_FAULTS[says])])
    with pytest.raises(OmniTraceError) as caught:
        list(read_dataset("mantis-eval", source))
    assert "m.parquet, row 1" in str(caught.value)
    assert says in str(caught.value)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    row = mantis_row()
    del row["question"]
    with pytest.raises(OmniTraceError, match=r"row 1: .*missing required field `question`"):
        list(read_dataset("mantis-eval", parquet(tmp_path / "m.parquet", [row])))


def _text(name: str, text: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_text(text, "utf-8")
        return folder / name

    return write


HEAD = "Patient,Doctor,Summary\n"
FAULTS = [
    ("mmau", _text("a.json", "[]x"), "a.json: invalid JSON"),
    ("mmau", _text("a.json", json.dumps([mmau_row(answer="Dog")])), "row 1, field 'answer': 'Dog'"),
    ("mmau", _text("a.json", json.dumps([mmau_row(audio_id="..")])), "is not the name of a file"),
    ("mmau", _text("a.json", json.dumps(mmau_row(choices=1))), "line 1: Expected `array`"),
    ("mmau", _text("a.json", json.dumps([mmau_row(choices=["x"] * 27)])), "27 options"),
    ("mmdialog", _text("c.json", '{"conversation": []}'), "missing required field `conversation"),
    (
        "mmdialog",
        _text("c.json", '{"conversation_id": 1, "conversation": [{"turn": [{}]}]}'),
        "a piece has one of __TEXT__, __MEDIA__",
    ),
    ("cliconsummation", _text("c.csv", "hello,you\n"), "line 1: a conversation begins with"),
    ("cliconsummation", _text("c.csv", "Patient,Doctor\n"), "no column 'Summary'"),
    ("cliconsummation", _text("c.csv", HEAD + "hi,ho,\n"), "no 'Dialogue ID'"),
    ("cliconsummation", _text("c.csv", HEAD + "Dialogue ID,7,\n"), "'7' has no turns"),
    ("cliconsummation", _text("c.csv", HEAD + '"open'), "line 2: it is not CSV"),
    ("misp-meeting", _text("a.txt", "x"), "is no folder"),
    ("video-mme", _text("v.parquet", "x"), "cannot be read as Parquet"),
]


@pytest.mark.parametrize(("name", "write", "says"), FAULTS)
def test_a_wrong_source_is_named(
    name: str, write: Callable[[Path], Path], says: str, tmp_path: Path
) -> None:
    with pytest.raises(OmniTraceError) as caught:
        list(read_dataset(name, write(tmp_path)))
    assert says in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_names_and_folders_are_checked_first(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="did you mean 'mmau'"):
        read_dataset("mmua", tmp_path)
    with pytest.raises(CommandError, match=r"there is no .*gone"):
        read_dataset("mmau", tmp_path / "gone")
    with pytest.raises(CommandError, match=r"--media .*gone is no folder"):
        read_dataset("mmau", tmp_path, tmp_path / "gone")
    with pytest.raises(CommandError, match="no Parquet file in"):
        list(read_dataset("video-mme", tmp_path))
    with pytest.raises(CommandError, match="no sound file in"):
        list(read_dataset("misp-meeting", tmp_path))


def test_an_id_comes_once(tmp_path: Path) -> None:
    twice = [Item("a", ("x",)), Item("a", ("y",))]
    with pytest.raises(OmniTraceError, match="the id 'a' comes twice"):
        write_dataset(twice, tmp_path / "out.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_names_are_looked_up_and_never_followed(tmp_path: Path) -> None:
    inside = tmp_path / "media"
    miniatures.sound(inside / "deep" / "a.wav")
    miniatures.sound(tmp_path / "secret.wav")
    folder = DatasetMedia(inside)
    assert folder.find("./elsewhere/a.wav", "row 1") == inside / "deep" / "a.wav"
    assert folder.find("../secret.wav", "row 1") is None
    assert folder.find(str(tmp_path / "secret.wav"), "row 1") is None
    miniatures.sound(inside / "other" / "a.wav")
    with pytest.raises(OmniTraceError, match=r"'a.wav' is in .* twice"):
        DatasetMedia(inside).find("a.wav", "row 1")


def test_two_files_of_a_session_are_refused(tmp_path: Path) -> None:
    source = MINIATURES["misp-meeting"](tmp_path)
    miniatures.sound(source / "copy" / "M001.flac")
    with pytest.raises(OmniTraceError, match="are of the same session"):
        list(read_dataset("misp-meeting", source))


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = MINIATURES["mantis-eval"](tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(CommandError, match=r"needs pyarrow: pip install 'omnitrace-replay\[report"):
        list(read_dataset("mantis-eval", source))


@pytest.mark.parametrize(
    ("given", "made"),
    [
        (["Man", "Woman"], ("A. Man", "B. Woman")),
        (["A. Man", "B. Woman"], ("A. Man", "B. Woman")),
        (["(A) Man", "B: Woman"], ("(A) Man", "B: Woman")),
        (["A man", "B. Woman"], ("A. A man", "B. B. Woman")),
        (["A.M.", "P.M."], ("A. A.M.", "B. P.M.")),
        ([" two\nlines "], ("A. two lines",)),
    ],
)
def test_options_have_letters(given: list[str], made: tuple[str, ...]) -> None:
    assert lettered(given, "row 1") == made


@pytest.mark.parametrize("answer", ["b", "(B)", "B.", " B\n"])
def test_an_answer_names_an_option(answer: str) -> None:
    assert index_of_letter(answer, ("A. x", "B. y"), "row 1") == 1


def test_pictures_are_named_after_what_they_are() -> None:
    assert [image_suffix(data) for data in (png(3), b"RIFF____WEBP", b"?")] == [
        ".png",
        ".webp",
        ".img",
    ]
