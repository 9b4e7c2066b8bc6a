"""Sample files: what is read, and the one sentence for what cannot be."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from omnitrace.errors import CommandError
from recorder.inputs.samples import Content, Sample, check_inside, read_samples

CALL = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
DATA = "data:image/png;base64," + base64.b64encode(b"image").decode()
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


def chat(*messages: dict[str, Any], **fields: Any) -> str:
    return json.dumps({"id": "a", "messages": list(messages), **fields})


def user(text: str = "Hello.") -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(content: Any = None, **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **fields}


def read(folder: Path, text: str) -> Sample:
    [sample] = read_samples(write(folder, text))
    return sample


def parts(folder: Path, *content: dict[str, Any]) -> tuple[Content, ...]:
    return read(folder, message(*content)).messages[0].parts


def images(*names: str) -> list[dict[str, Any]]:
    return [{"type": "image", "image": name} for name in names]


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
        (chat({"role": "robot\n", "content": "x"}), "the roles are system, developer, user, a"),
        (chat({"role": "user", "content": None}), "of the role user has no content; only an"),
        (chat(user(), assistant()), "of the role assistant has no content"),
        (chat(user(), {"role": "tool", "tool_call_id": "1"}), "of the role tool has no content"),
        (chat({**user(), "tool_calls": [CALL]}), "belong to messages of the role assistant, not u"),
        (chat({**user(), "reasoning": "x"}), "belong to messages of the role assistant, not user"),
        (chat(user(), assistant(tool_calls="x")), "Expected `array | null`, got `str`"),
        (chat(user(), assistant(tool_calls=["x"])), "Expected `object`, got `str`"),
        (chat(user(), assistant("x", reasoning="a", thinking="b")), "one field by three names"),
        (chat(user(), assistant("x", refusal="No.")), "Expected `null`, got `str`"),
        (chat(user(), tools={"name": "f"}), "Expected `array | null`, got `object`"),
        (chat(user(), continue_final_message=True), "the last message is of the role user: only"),
        (chat(user(), continue_final_message="no"), "Expected `bool | null`, got `str`"),
        (chat(user(), assistant("x", tool_calls=[CALL])), "does not end in a text that could be"),
        (chat(user(), assistant(reasoning="x")), "does not end in a text that could be"),
        (chat(user(), assistant([{"type": "image", "path": "a.png"}])), "does not end in a text"),
        (message({"type": "image", "path": "a.png", "fps": 2}), "unknown field `fps`"),
        (message({"type": "audio", "path": "b.wav", "max_pixels": 2}), "unknown field `max_pi"),
        (message({"type": "image", "path": "a.png", "resized_height": 2}), "unknown field `res"),
        (message({"type": "image", "path": "a.png", "max_pixels": 0}), "it may be 1 to 67108864"),
        (message({"type": "image", "path": "a.png", "min_pixels": 10**3000}), "is out of range"),
        (message({"type": "image", "path": "a.png", "min_pixels": 1.5}), "Expected `int | null`"),
        (message({"type": "image", "path": "a.png", "min_pixels": 9, "max_pixels": 8}),
         "min_pixels 9 is more than max_pixels 8"),
        (message({"type": "video", "path": "c.mp4", "min_pixels": 1 << 21}), "1 to 1048576"),
        (message({"type": "video", "path": "c.mp4", "fps": 0}), "fps 0 is out of range"),
        (message({"type": "video", "path": "c.mp4", "fps": -1}), "fps -1 is out of range"),
        (message({"type": "video", "path": "c.mp4", "fps": float("nan")}), "fps nan is out of"),
        (message({"type": "video", "path": "c.mp4", "fps": float("inf")}), "fps inf is out of"),
        (message({"type": "video", "path": "c.mp4", "fps": 1001}), "and at most 1000"),
        (message({"type": "video", "path": "c.mp4", "fps": 10**400}), "line 1: "),
        (message({"type": "video", "path": "c.mp4", "fps": "2"}), "Expected `float | null`"),
        (message({"type": "video", "path": "c.mp4", "sample_fps": 2}), "belong to a video that is"),
        (message({"type": "video", "video": ["a.png"], "fps": 2, "raw_fps": 3}), "fps and raw_fps"),
        (message({"type": "video", "video": []}), "list of frames of a video is empty"),
        (message({"type": "video", "video": ["a.png", 7]}), "Expected `str`, got `int`"),
        (message({"type": "video", "video": ["https://x.org/1.png"]}), "is an address"),
        (message({"type": "image_url", "image_url": {"url": "https://x.org/a.png"}}), "'https://x"),
        (message({"type": "image_url", "image_url": {"link": "a.png"}}), "unknown field `link`"),
        (message({"type": "image_url", "image_url": {"url": "a.png", "detail": "low"}}), "'low'"),
        (message({"type": "image_url", "image_url": ""}), "needs exactly one of image_url; got 0"),
        (message({"type": "image_url"}), "missing required field `image_url`"),
        (message({"type": "image", "url": "data:image/png;base64,!"}), "is not base64"),
        (message({"type": "image", "url": "file://server/a.png"}), "is no file:// URL of this"),
        (message({"type": "input_audio", "input_audio": {"data": "?", "format": "wav"}}),
         "the data of input_audio is not base64"),
        (message({"type": "input_audio", "input_audio": {"data": "", "format": "ogg"}}), "'ogg'"),
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


def test_paths_that_cannot_be_are_left_to_their_samples(here: Path) -> None:
    """A NUL, a name too long and a pipe cost nothing but the sample that names them."""
    rows = [
        json.loads(message({"type": "image", "image": name})) | {"id": name[:9]}
        for name in ("a.png", "x\0y", "n" * 5000, "deep/" * 2000 + "x.png")
    ]
    samples = read_samples(write(here, "\n".join(json.dumps(row) for row in rows)))
    assert len(samples) == 4
    check_inside(samples, here)
    (here / "round").symlink_to(here / "round")
    check_inside([read(here, message(*images("round", "a.png")))], here)
    text = message({"type": "image", "image": "x\0y"}, {"type": "image", "image": "n" * 5000})
    assert "there is no file" in complaint(write(here, text))


def test_frames_of_a_list_must_lie_in_the_media_root(here: Path, tmp_path: Path) -> None:
    inside, outside = str(here / "a.png"), "/elsewhere/b.png"
    sample = read(here, message({"type": "video", "video": [inside, outside, DATA]}))
    with pytest.raises(CommandError, match=r"/elsewhere/b\.png does not lie in the media root"):
        check_inside([sample], here)
    check_inside([read(here, message({"type": "video", "video": [inside, DATA]}))], here)


def test_openais_parts(here: Path) -> None:
    found = parts(
        here,
        {"type": "input_text", "text": "One"},
        {"type": "output_text", "text": "Two", "annotations": []},
        {"type": "image_url", "image_url": {"url": "a.png", "detail": "auto"}},
        {"type": "image_url", "image_url": "a.png", "max_pixels": 99},
        {"type": "input_image", "image_url": DATA},
        {"type": "video_url", "video_url": {"url": "c.mp4"}, "fps": 0.5},
        {"type": "audio_url", "audio_url": {"url": f"file://{here}/b%2Ewav"}},
        {"type": "input_audio", "input_audio": {"data": "eHl6", "format": "wav"}},
        {"type": "input_audio", "input_audio": {"data": "data:;base64,eHl6", "format": "mp3"}},
    )
    assert found == (
        Content("text", "One"),
        Content("text", "Two"),
        Content("image", path=here / "a.png"),
        Content("image", path=here / "a.png", max_pixels=99),
        Content("image", data=b"image", media_type="image/png"),
        Content("video", path=here / "c.mp4", fps=0.5),
        Content("audio", path=here / "b.wav"),
        Content("audio", data=b"xyz", media_type="audio/wav"),
        Content("audio", data=b"xyz"),
    )
    assert [part.name for part in found[4:]] == [
        "data:image/png", "c.mp4", "b.wav", "data:audio/wav", "data:audio"
    ]  # fmt: skip
    assert [part.is_medium for part in found] == [False, False] + [True] * 7


def test_a_list_of_frames(here: Path) -> None:
    frames = ["a.png", f"file://{here}/a.png", DATA]
    for field in ("fps", "sample_fps", "raw_fps"):
        [video] = parts(here, {"type": "video", "video": frames, field: 4, "max_pixels": 9})
        assert (video.kind, video.fps, video.max_pixels, video.path) == ("video", 4.0, 9, None)
        assert [frame.kind for frame in video.frames] == ["image"] * 3
        assert [frame.path for frame in video.frames] == [here / "a.png", here / "a.png", None]
        assert video.name == "a.png … data:image/png (3 frames)"
    sample = read(here, message({"type": "video", "video": frames}, {"type": "text", "text": "?"}))
    assert sample.paths == [here / "a.png"] * 2
    assert sample.media == [sample.messages[0].parts[0]]
    assert sample.media[0].fps is None
    agreed = parts(here, {"type": "video", "video": frames, "sample_fps": 1, "raw_fps": 1.0})
    assert agreed[0].fps == 1.0


def test_tools_and_thinking(here: Path) -> None:
    """Arguments that are an object in a string become it; whatever else stays as it is."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    calls = [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"x": [1, "é"]}'}},
        {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}},
        {"type": "function", "function": {"name": "f", "arguments": ""}},
        {"type": "function", "function": {"name": "f", "arguments": "{x: 1}"}},
        {"type": "function", "function": {"name": "f", "arguments": "[1]"}},
        {"name": "f", "arguments": '{"y": 2}'},
        {"name": "f", "arguments": "9" * 5000},
        {"name": "f"},
    ]
    sample = read(
        here,
        chat(
            {"role": "developer", "content": "Be brief."},
            user(),
            assistant(None, tool_calls=calls, reasoning_content="I need f.", refusal=None),
            {"role": "tool", "content": "7", "tool_call_id": "1", "name": "f"},
            tools=[tool],
        ),
    )
    developer, _, called, result = sample.messages
    assert developer.role == "developer"
    assert (called.parts, called.thinking) == ((), "I need f.")
    given = [call.get("function", call) for call in called.fields["tool_calls"]]
    assert [call.get("arguments") for call in given] == [
        {"x": [1, "é"]}, {"x": 1}, {}, "{x: 1}", "[1]", {"y": 2}, "9" * 5000, None
    ]  # fmt: skip
    assert called.fields["tool_calls"][0]["id"] == "1"
    assert (result.role, result.fields) == ("tool", {"tool_call_id": "1", "name": "f"})
    assert sample.tools == (tool,)
    assert not sample.continues


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_thinking_by_its_three_names(name: str, here: Path) -> None:
    answer = assistant("Yes.", **{name: "Hm.\n"}, tool_calls=[], annotations=[])
    [_, said, _] = read(here, chat(user(), answer, user())).messages
    assert (said.thinking, said.parts, said.fields) == ("Hm.\n", (Content("text", "Yes."),), {})


def test_names_for_the_same_thinking_may_stand_together(here: Path) -> None:
    answer = assistant("Yes.", reasoning="Hm.", reasoning_content="Hm.", thinking="")
    assert read(here, chat(user(), answer, user())).messages[1].thinking == "Hm."


@pytest.mark.parametrize(
    ("messages", "fields", "continues"),
    [
        ([user()], {}, False),
        ([user(), assistant("The")], {}, True),
        ([user(), assistant([{"type": "text", "text": "The"}])], {}, True),
        ([user(), assistant("The")], {"continue_final_message": True}, True),
        ([user(), assistant("The")], {"continue_final_message": None}, True),
        ([user(), assistant("The")], {"continue_final_message": False}, False),
        ([user(), assistant(tool_calls=[CALL])], {"continue_final_message": False}, False),
        ([user(), assistant("The"), user()], {}, False),
    ],
)
def test_an_assistants_last_message_is_continued(
    messages: list[dict[str, Any]], fields: dict[str, Any], continues: bool, here: Path
) -> None:
    assert read(here, chat(*messages, **fields)).continues is continues


def test_the_releases_media_may_be_urls(here: Path) -> None:
    row = [{"id": 1, "question": [{"image": DATA}, {"image": f"file://{here}/a.png"}]}]
    assert read(here, json.dumps(row)).media == [
        Content("image", data=b"image", media_type="image/png"),
        Content("image", path=here / "a.png"),
    ]


def test_the_digest_is_that_of_the_row(here: Path) -> None:
    """Every field of a row counts, those of parts and tools too."""
    part = {"type": "video", "video": "c.mp4"}
    rows = [
        message(part),
        message(part | {"fps": 2}),
        message(part | {"max_pixels": 9}),
        chat(user()),
        chat(user(), tools=[]),
        chat(user(), continue_final_message=False),
    ]
    assert len({read(here, row).sha256 for row in rows}) == len(rows)


def test_the_examples_of_the_page(tmp_path: Path) -> None:
    page = Path(__file__).parents[3] / "docs" / "samples.md"
    examples = re.findall(r"```json\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    samples = [one for text in examples for one in read_samples(write(tmp_path, text), False)]
    assert [sample.id for sample in samples] == [
        "1", "2", "tools", "continued", "finished", "forms", "frames", "7"
    ]  # fmt: skip
    by_id = {sample.id: sample for sample in samples}
    assert [by_id[id].continues for id in ("continued", "finished")] == [True, False]
    assert [part.name for part in by_id["forms"].media] == [
        "data:image/gif", "a b.png", "call.mp3", "data:audio/wav", "door.mp4"
    ]  # fmt: skip
    [call] = by_id["tools"].messages[2].fields["tool_calls"]
    assert call["function"]["arguments"] == {"city": "Oslo"}
    assert by_id["frames"].media[0].name == "1.png … 4.png (4 frames)"
    assert [part.kind for part in by_id["7"].messages[0].parts] == ["audio", "text"]
