"""Sample files: what is read, and the one sentence for what cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from omnitrace.errors import CommandError
from recorder.inputs.samples import Content, read_samples

HELLO = {"id": "a", "messages": [{"role": "user", "content": "Hello."}]}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    for name in ("a.png", "b.wav", "c.mp4"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "samples.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def message(*content: dict[str, Any]) -> str:
    return json.dumps({"id": "a", "messages": [{"role": "user", "content": list(content)}]})


def complaint(path: Path) -> str:
    with pytest.raises(CommandError) as caught:
        read_samples(path)
    assert caught.value.exit_code == 2
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


def test_chat_messages(here: Path) -> None:
    rows = [
        {
            "id": 7,
            "messages": [
                {"role": "system", "content": "Be brief."},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "Look \u2028 here"},
                        {"type": "image", "image": "a.png"},
                        {"type": "audio", "path": "b.wav"},
                        {"type": "video", "url": str(here / "c.mp4")},
                    ],
                },
            ],
            "answer": "A circle.",
        },
        HELLO,
    ]
    text = "\ufeff" + "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n"
    first, second = read_samples(write(here, text))
    assert (first.id, first.answer) == ("7", "A circle.")
    assert [m.role for m in first.messages] == ["system", "user"]
    assert first.messages[1].parts == (
        Content("text", "Look \u2028 here"),
        Content("image", path=here / "a.png"),
        Content("audio", path=here / "b.wav"),
        Content("video", path=here / "c.mp4"),
    )
    assert first.paths == [here / "a.png", here / "b.wav", here / "c.mp4"]
    assert second.messages[0].parts == (Content("text", "Hello."),)
    assert first.sha256 != second.sha256


def test_the_papers_release(here: Path) -> None:
    """Text and pictures follow the prompt; sound and film come first, then one text."""
    rows = [
        {"id": 0, "prompt": "Answer.\n", "question": [{"text": "Same?"}, {"image": "a.png"}],
         "answer": "(A)", "task": "qa", "source_dataset": "x"},
        {"id": 1, "prompt": "Answer.\n", "question": [{"text": "Heard?"}, {"audio": "b.wav"}]},
        {"id": 2, "question": [{"video": "c.mp4"}, {"text": "Seen?"}]},
    ]  # fmt: skip
    picture, sound, film = read_samples(write(here, json.dumps(rows, indent=2)))
    said = [[c.text or c.kind for c in s.messages[0].parts] for s in (picture, sound, film)]
    assert said == [
        ["Answer.\n", "Same?", "image"],
        ["audio", "Answer.\nHeard?"],
        ["video", "Seen?"],
    ]
    assert (picture.id, picture.answer) == ("0", "(A)")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("[]", "holds no samples"),
        (b"\xff\xfe{", "is not UTF-8 text (byte 0)"),
        (json.dumps(HELLO) + "\n{oops}", "line 2: invalid JSON: Expecting property name"),
        (json.dumps(HELLO) + "\n{}", "line 2: Object missing required field `id`"),
        ('[{"id": 1,\n "prompt" 3}]', "invalid JSON: Expecting ':' delimiter (line 2, column 11)"),
        ("[" * 100_000, "nested too deep"),
        (json.dumps(HELLO | {"mesages": 1}), "line 1: Object contains unknown field `mesages`"),
        (json.dumps(HELLO | {"id": 1.5}), "`, got `float` - at `$.id`. Legal"),
        (json.dumps(HELLO | {"id": ""}), "line 1: the id is empty"),
        (json.dumps(HELLO | {"messages": []}), "line 1: the sample 'a' says nothing"),
        ("\n".join([json.dumps(HELLO)] * 2), "line 2: the id 'a' is taken ("),
        ('{"id": "a", "messages": [{"role": "robot", "content": "x"}]}', "'robot'"),
        ('{"id": "a", "messages": [{"role": "user", "content": "\\ud800"}]}', "half a surrogate"),
        (message({"type": "smell", "path": "x"}), "Invalid value 'smell'"),
        (message({"type": "image", "image": "a.png", "alt": "y"}), "unknown field `alt`"),
        (message({"type": "image"}), "exactly one of image, path, url; got 0"),
        (message({"type": "image", "image": "a.png", "url": "a.png"}), "url; got 2"),
        (message({"type": "image", "url": "https://x.org/a.png"}), "'https://x.org/a.png' is an"),
        (message({"type": "audio", "url": "data:audio/wav;base64,A"}), "is not base64"),
        ('[{"id": 1, "question": [{"text": "x", "image": "a.png"}]}]', "sample 1: each element"),
        ('[{"id": 1, "question": [{"txt": "x"}]}]', "sample 1: Object contains unknown field"),
        ('[{"id": 1, "question": []}]', "sample 1: the sample '1' says nothing"),
    ],
)  # fmt: skip
def test_mistakes_get_one_sentence(text: str | bytes, expected: str, here: Path) -> None:
    path = write(here, text)
    said = complaint(path)
    assert str(path) in said
    assert expected in said


def test_unknown_fields_name_the_legal_ones(here: Path) -> None:
    assert "Legal fields: id, messages, answer" in complaint(write(here, '{"mesages": []}'))
    assert "Legal fields: id, prompt, question" in complaint(write(here, '[{"ask": []}]'))


def test_no_file_and_a_folder(here: Path) -> None:
    assert "No such file" in complaint(here / "nothing.jsonl")
    assert "Is a directory" in complaint(here)


def test_a_wrong_folder_is_found_before_anything_runs(here: Path) -> None:
    path = write(
        here, message({"type": "image", "image": "no.png"}, {"type": "audio", "path": "."})
    )
    assert f"sample 'a': there is no file {here / 'no.png'} (and 1 more)" in complaint(path)


def test_one_missing_file_is_left_to_its_sample(here: Path) -> None:
    (here / "there.png").touch()
    path = write(
        here, message({"type": "image", "image": "no.png"}, {"type": "image", "image": "there.png"})
    )
    assert len(read_samples(path)) == 1
