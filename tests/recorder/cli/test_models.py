"""`omnitrace models`: the table of families, and what one model allows without its weights."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from omnitrace.cli import main
from recorder.config import TINY_OMNI
from recorder.models.families import read_families
from tests.recorder.gguf_files import write_gguf
from tests.recorder.toys import TOYS, hf


def run(capsys: pytest.CaptureFixture[str], *given: str) -> tuple[int, str, str]:
    status = main(["models", *given])
    out, err = capsys.readouterr()
    return status, out, err


def about(capsys: pytest.CaptureFixture[str], *given: str) -> dict[str, Any]:
    status, out, _ = run(capsys, *given, "--json")
    found: dict[str, Any] = json.loads(out)
    assert status == (1 if found["refused"] else 0)
    assert found["schema"] == "omnitrace.model/1"
    return found


def toy(family: str, folder: Path) -> str:
    """A family's toy without its weights."""
    TOYS[family].save(folder)
    for weights in folder.glob("*.safetensors"):
        weights.unlink()
    return str(folder)


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys)
    assert status == 0
    for family in read_families():
        assert family.family in out
    status, out, _ = run(capsys, "--json")
    data = json.loads(out)
    assert (status, data["schema"]) == (0, "omnitrace.families/1")
    assert [row["family"] for row in data["families"]] == [f.family for f in read_families()]


def test_the_table_needs_neither_torch_nor_transformers() -> None:
    code = (
        "import sys; from omnitrace.cli import main; main(['models', '--json']);"
        "print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("family", "wanted"),
    [
        ("llama3", {"takes": ["text"], "bos": 1, "thinking": False, "adapter": "chat"}),
        (
            "qwen3",
            {"takes": ["text"], "bos": 0, "thinking": True, "arguments": ["enable_thinking"]},
        ),
        ("qwen3_5", {"takes": ["text", "image", "video"], "layers": 4, "attending": [1, 3]}),
        ("gemma3", {"takes": ["text", "image"], "bos": 1, "model_type": "gemma3"}),
        ("qwen2_audio", {"takes": ["text", "audio"], "context": 4096, "date": False}),
        ("granite", {"takes": ["text"], "date": True, "arguments": []}),
    ],
)
def test_what_a_model_allows_without_its_weights(
    family: str, wanted: dict[str, Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found = about(capsys, toy(family, tmp_path))
    assert {name: found[name] for name in wanted} == wanted
    assert found["refused"] == []
    assert found["chat_template"] is True
    assert found["kind"] == "folder"
    assert family in found["tested"]


def test_the_bundled_model_in_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, str(TINY_OMNI))
    assert status == 0
    for text in ("qwen_omni", "text, image, video, audio", "5 of 5", "32,768"):
        assert text in out


def test_a_gguf_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    TOYS["smollm"].save(tmp_path)
    tokens = hf.AutoTokenizer.from_pretrained(tmp_path)
    model = hf.AutoModelForCausalLM.from_pretrained(tmp_path)
    found = about(capsys, str(write_gguf(tmp_path / "a.gguf", tokens, model=model)))
    assert (found["kind"], found["model_type"], found["layers"]) == ("GGUF file", "llama", 4)
    assert found["chat_template"] is True


def test_models_that_cannot_be_recorded(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "mllama"}')
    assert "cross-attention" in about(capsys, str(tmp_path))["refused"][0]
    status, out, err = run(capsys, str(tmp_path))
    assert status == 1
    assert "mllama" in out
    assert "cannot be recorded: its decoder reads images by cross-attention" in err
    (tmp_path / "config.json").write_text('{"model_type": "mamba"}')
    assert about(capsys, str(tmp_path))["refused"]


def test_a_model_without_a_chat_template(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = toy("llama3", tmp_path / "a")
    source = Path(folder, "chat_template.jinja").rename(tmp_path / "own.jinja")
    found = about(capsys, folder)
    assert "no chat template" in found["refused"][0]
    found = about(capsys, folder, "--chat-template", str(source))
    assert (found["refused"], found["chat_template"]) == ([], True)


def test_a_path_that_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "./gone")
    assert (status, out) == (2, "")
    assert err.startswith("omnitrace: cannot load the model: there is no folder or file ./gone")
