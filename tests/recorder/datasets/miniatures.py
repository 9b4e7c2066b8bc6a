"""Each published data set in small, in its own format: what a user would have downloaded."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pyarrow
import pyarrow.parquet
import soundfile

from tests.recorder.conftest import write_film


def png(shade: int) -> bytes:
    """A picture of one grey, 56×56."""
    file = io.BytesIO()
    PIL.Image.fromarray(np.full((56, 56, 3), shade, np.uint8)).save(file, "PNG")
    return file.getvalue()


def picture(path: Path, shade: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.full((56, 56, 3), shade, np.uint8)).save(path)


def sound(path: Path, seconds: float = 1.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    t = np.arange(round(seconds * 16_000)) / 16_000
    soundfile.write(path, (0.3 * np.sin(2 * np.pi * 300 * t)).astype(np.float32), 16_000)


def parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def mantis_row(**over: Any) -> dict[str, Any]:
    return {
        "id": "mantis_eval_0",
        "question_type": "multi-choice",
        "question": "<image> <image> Which picture is darker?",
        "images": [{"bytes": png(20), "path": "a.png"}, {"bytes": png(200), "path": "b.png"}],
        "options": ["(A) The first", "(B) The second"],
        "answer": "A",
        "data_source": "made",
        "category": "comparison",
    } | over


def mantis(folder: Path) -> Path:
    short = mantis_row(
        id="mantis_eval_1",
        question_type="short-answer",
        question="How many pictures are there?",
        options=[],
        answer="two",
    )
    return parquet(folder / "test-00000-of-00001.parquet", [mantis_row(), short])


def mmdialog(folder: Path) -> Path:
    keys = ("2682085160072908899", "-5632896413199993329")
    for shade, key in enumerate(keys):
        picture(folder / "test" / f"{key}.jpg", 60 + 90 * shade)
    turns = [
        {"turn": [{"__TEXT__": "Here is my town. It is small."}, {"__MEDIA__": keys[0]}]},
        {"turn": [{"__TEXT__": "Lovely! :star: And this is mine."}, {"__MEDIA__": keys[1]}]},
        {"turn": [{"__TEXT__": "It certainly is!!"}]},
    ]
    row = {
        "conversation_id": 0,
        "conversation": turns,
        "negative_candidate_media_keys": ["7739979834461821626"],
        "negative_candidate_texts": ["wow"],
    }
    (folder / "test" / "conversations.json").write_text(json.dumps([row]))
    return folder / "test"


HEADER = ["Patient", "Doctor", "Symptom", "Visual", "Severity", "Intent", "Summary", "MCS", "DI"]


def cliconsummation(folder: Path) -> Path:
    picture(folder / "Visuals" / "S22_3_1.jpg")
    summary = "The patient has a plugged ear. The doctor sees redness."
    rows = [
        HEADER,
        ["Dialogue ID", "29211"],
        ["My ear is plugged.", "Show me,\nplease.", "O O", "", "", "", summary, "", ""],
        ["Look at it, $S22_3_1.jpg$. Is it bad?", "I see slight redness.", "O O"],
        ["Disease: Conductive hearing loss, Group: 7"],
        [""] * 9,
        HEADER,
        ["Dialogue ID", "86"],
        ["I have a fever.", "It is nothing.", "O O", "", "", "", "A fever.", "", ""],
        ["Disease; Chickenpox, Group: 1"],
    ]
    with (folder / "SampleDataset.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([row + [""] * (9 - len(row)) for row in rows])
    return folder / "SampleDataset.csv"


def mmau_row(**over: Any) -> dict[str, Any]:
    return {
        "id": "3fe64f3d",
        "audio_id": "./test-mini-audios/3fe64f3d.wav",
        "question": "Who is speaking?",
        "choices": ["Man", "Woman", "Child", "Robot"],
        "answer": "Woman",
        "dataset": "AudioSet",
        "task": "sound",
        "split": "test-mini",
        "category": "Reasoning",
        "sub-category": "Acoustic Source Inference",
        "difficulty": "medium",
    } | over


def mmau(folder: Path) -> Path:
    sound(folder / "test-mini-audios" / "3fe64f3d.wav")
    rows = [mmau_row(), mmau_row(id="unanswered", answer="")]
    (folder / "mmau-test-mini.json").write_text(json.dumps(rows))
    return folder / "mmau-test-mini.json"


def misp(folder: Path) -> Path:
    sound(folder / "sessions" / "M001" / "M001.wav")
    sound(folder / "sessions" / "M002" / "M002.wav")
    (folder / "sessions" / "summary").mkdir()
    (folder / "sessions" / "summary" / "M001.txt").write_text("他们谈了预算。\n", "utf-8")
    return folder / "sessions"


def videomme_row(**over: Any) -> dict[str, Any]:
    return {
        "video_id": "001",
        "duration": "short",
        "domain": "Knowledge",
        "sub_category": "Humanity & History",
        "url": "nowhere",
        "videoID": "fFjv93ACGo8",
        "question_id": "001-1",
        "task_type": "Counting Problem",
        "question": "How does the film grow?",
        "options": ["A. Darker.", "B. Brighter.", "C. Not at all.", "D. Nobody knows."],
        "answer": "B",
    } | over


def videomme(folder: Path) -> Path:
    (folder / "data").mkdir()
    write_film(folder / "data" / "fFjv93ACGo8.mp4", sound=True)
    rows = [videomme_row(), videomme_row(question_id="002-1", videoID="not-there")]
    return parquet(folder / "test.parquet", rows)


MINIATURES = {
    "mantis-eval": mantis,
    "mmdialog": mmdialog,
    "cliconsummation": cliconsummation,
    "mmau": mmau,
    "misp-meeting": misp,
    "video-mme": videomme,
}
"""Name → what writes it into a folder and returns the source to name."""
