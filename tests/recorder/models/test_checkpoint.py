"""Paths of models: what is wrong with one is told in a sentence, before torch is loaded."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from omnitrace.errors import CommandError
from recorder.models import checkpoint
from recorder.models.checkpoint import Checkpoint, find_checkpoint
from tests.recorder.gguf_files import write_gguf
from tests.recorder.toys import tokenizers

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def refused(path: Any, **options: Any) -> str:
    """The sentence with which a path is refused, in less than a second."""
    start = time.perf_counter()
    with pytest.raises(CommandError) as caught:
        find_checkpoint(str(path), **options)
    assert time.perf_counter() - start < 1
    text = str(caught.value)
    assert caught.value.exit_code == 2
    assert "\n" not in text
    assert text.rstrip(")").endswith(".")
    return text


def model(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "model.safetensors").touch()
    return folder


def adapter(folder: Path, **settings: Any) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", **settings}))
    (folder / "adapter_model.safetensors").touch()
    return folder


def gguf(path: Path, **options: Any) -> Path:
    return write_gguf(path, tokenizers.smollm(), **{"pre": "smollm", **options})


def test_a_folder_and_an_id_of_the_hub(tmp_path: Path) -> None:
    folder = str(model(tmp_path / "a"))
    found = find_checkpoint(folder)
    assert found == Checkpoint(folder, folder, processor=folder)
    assert (found.name, found.is_local) == ("a", True)
    found = find_checkpoint("some/model", COMMIT, trusted=True)
    assert (found.name, found.is_local, found.revision) == ("some/model", False, COMMIT)


@pytest.mark.parametrize("path", ["./gone", "../gone", "/gone/model", "~/gone", "x.gguf", "a/b/c"])
def test_a_path_that_is_not_there(path: str) -> None:
    assert f"there is no folder or file {path};" in refused(path)


def test_a_path_in_a_folder_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path)
    assert "there is no folder or file models/gone" in refused("models/gone")
    assert find_checkpoint("elsewhere/model").weights == "elsewhere/model"


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    assert "neither config.json, nor adapter_config.json, nor a GGUF" in refused(tmp_path)


def test_a_file_that_is_no_gguf(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"PK\x03\x04 and so on")
    assert "is no GGUF file" in refused(tmp_path / "a.gguf")


def test_folders_have_no_revisions(tmp_path: Path) -> None:
    assert "leave out --revision" in refused(model(tmp_path / "a"), revision="main")


def test_code_of_the_hub_runs_at_a_whole_commit_only() -> None:
    assert "all 40 characters" in refused("some/model", revision="main", trusted=True)


def test_a_gguf_file(tmp_path: Path) -> None:
    path = gguf(tmp_path / "a.gguf")
    found = find_checkpoint(str(path))
    assert found == Checkpoint(str(path), str(tmp_path), gguf="a.gguf")
    assert (found.name, found.file) == ("a.gguf", path)


def test_a_folder_with_one_gguf_file(tmp_path: Path) -> None:
    gguf(tmp_path / "a.gguf")
    assert find_checkpoint(str(tmp_path)).gguf == "a.gguf"
    assert find_checkpoint(str(tmp_path)).processor == ""
    (tmp_path / "tokenizer.json").touch()
    assert find_checkpoint(str(tmp_path)).processor == str(tmp_path)
    assert find_checkpoint(str(tmp_path / "a.gguf")).processor == ""
    gguf(tmp_path / "b.gguf")
    assert "holds 2 GGUF files (a.gguf, b.gguf): name one" in refused(tmp_path)


def test_weights_go_before_gguf_files_beside_them(tmp_path: Path) -> None:
    folder = model(tmp_path / "a")
    gguf(folder / "a.gguf")
    assert find_checkpoint(str(folder)).gguf == ""
    (folder / "model.safetensors").unlink()
    assert find_checkpoint(str(folder)).gguf == "a.gguf"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"pre": "default"}, "names the splitting rule 'default'"),
        ({"pre": "viking"}, "names the splitting rule 'viking'"),
        ({"pre": None}, "names no splitting rule"),
    ],
)
def test_tokenizers_that_cannot_be_rebuilt(
    options: dict[str, Any], why: str, tmp_path: Path
) -> None:
    path = gguf(tmp_path / "a.gguf", **options)
    text = refused(path)
    assert why in text
    assert "--tokenizer" in text
    (tmp_path / "tokenizer.json").touch()
    found = find_checkpoint(str(path), tokenizer=str(tmp_path))
    assert (found.processor, found.own_tokenizer) == (str(tmp_path), True)


def test_pieces_with_spaces_that_the_file_does_not_tell(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "a.gguf", tokenizers.llama2(), pre="default")
    assert "after which special tokens" in refused(path)


def test_a_file_of_a_tower(tmp_path: Path) -> None:
    path = gguf(tmp_path / "mmproj.gguf", architecture="clip")
    assert "only the vision or audio tower" in refused(path)


def test_a_tokenizer_folder_without_a_tokenizer(tmp_path: Path) -> None:
    folder = model(tmp_path / "a")
    assert "holds no tokenizer" in refused(folder, tokenizer=str(tmp_path))


def test_an_adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = str(model(tmp_path / "base"))
    path = str(adapter(tmp_path / "lora", base_model_name_or_path=base))
    found = find_checkpoint(path)
    assert found == Checkpoint(path, base, adapter=path, processor=base)
    assert (found.name, found.base) == ("lora", "base")
    monkeypatch.chdir(tmp_path)
    beside = adapter(tmp_path / "beside", base_model_name_or_path="../base")
    assert Path(find_checkpoint(str(beside)).weights).samefile(base)
    here = adapter(tmp_path / "here", base_model_name_or_path="base")
    assert Path(find_checkpoint(str(here)).weights).samefile(base)


def test_an_adapter_on_a_model_of_the_hub(tmp_path: Path) -> None:
    path = str(adapter(tmp_path / "lora", base_model_name_or_path="some/model", revision=COMMIT))
    found = find_checkpoint(path)
    assert (found.weights, found.revision) == ("some/model", COMMIT)
    assert find_checkpoint(path, "main").revision == "main"


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"base_model_name_or_path": "../gone"}, "needs its base model '../gone'"),
        ({"base_model_name_or_path": None}, "names no base_model_name_or_path"),
        ({"base_model_name_or_path": "some/model", "peft_type": "PREFIX_TUNING"}, "PREFIX_TUNING"),
    ],
)
def test_adapters_that_cannot_be_merged(settings: dict[str, Any], why: str, tmp_path: Path) -> None:
    assert why in refused(adapter(tmp_path / "lora", **settings))


def test_adapters_on_what_is_no_whole_model(tmp_path: Path) -> None:
    first = adapter(tmp_path / "first", base_model_name_or_path="some/model")
    second = adapter(tmp_path / "second", base_model_name_or_path=str(first))
    assert "is itself an adapter" in refused(second)
    third = adapter(tmp_path / "third", base_model_name_or_path=str(gguf(tmp_path / "a.gguf")))
    assert "is itself a GGUF file" in refused(third)


def test_folders_of_adapters_that_are_not_whole(tmp_path: Path) -> None:
    folder = adapter(tmp_path / "lora", base_model_name_or_path="some/model")
    (folder / "adapter_config.json").write_text("{")
    assert "is no JSON file" in refused(folder)
    (folder / "adapter_config.json").write_text("[]")
    assert "no JSON object" in refused(folder)
    (folder / "adapter_model.safetensors").unlink()
    assert "has no adapter_model.safetensors" in refused(folder)
    both = model(tmp_path / "both")
    (both / "adapter_config.json").write_text("{}")
    assert "holds a model and a PEFT adapter" in refused(both)


@pytest.mark.parametrize("module", ["gguf", "peft"])
def test_packages_that_are_missing(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "find_spec", lambda name: None)
    path = (
        gguf(tmp_path / "a.gguf")
        if module == "gguf"
        else adapter(tmp_path / "lora", base_model_name_or_path="some/model")
    )
    extra = {"gguf": "gguf", "peft": "lora"}[module]
    assert f"needs the package {module}: pip install 'omnitrace-replay[{extra}]'" in refused(path)


PROBE = """
import sys
from omnitrace.cli import main
status = main(sys.argv[1:])
loaded = [name for name in ("torch", "transformers") if name in sys.modules]
print(status, loaded)
"""


@pytest.mark.parametrize(
    "given",
    [
        ["samples.jsonl", "--model", "./gone"],
        ["samples.jsonl", "--model", "."],
        ["samples.jsonl", "--model", "samples.jsonl"],
        ["samples.jsonl", "--template-args", "[]"],
        ["samples.jsonl", "--chat-template", "gone.jinja"],
        ["gone.jsonl"],
        ["bad.jsonl"],
    ],
)
def test_mistakes_are_told_before_torch_is_loaded(given: list[str], tmp_path: Path) -> None:
    rows = {"id": "a", "messages": [{"role": "user", "content": "What is it?"}]}
    (tmp_path / "samples.jsonl").write_text(json.dumps(rows))
    (tmp_path / "bad.jsonl").write_text("{")
    samples, *options = given
    done = subprocess.run(
        [sys.executable, "-c", PROBE, "record", samples, "run", *options],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "2 []\n"
    assert done.stderr.startswith("omnitrace: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()
