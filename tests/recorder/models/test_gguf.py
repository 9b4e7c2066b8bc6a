"""GGUF files: what they hold is read exactly, and recorded as the checkpoint they were made of."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

from omnitrace.errors import CommandError
from recorder.inputs.samples import Sample
from recorder.models.adapter import describe_model, load_adapter
from recorder.models.gguf import is_gguf, read_metadata
from recorder.models.gguf_tokenizer import end_ids, gguf_tokenizer
from recorder.models.settings import Weights
from recorder.passes.capture import install
from recorder.passes.generate import GenerationOptions
from tests.recorder.answers import answer_one
from tests.recorder.gguf_files import write_gguf
from tests.recorder.toys import TOYS, hf, tokenizers

CORPUS = [
    "In 1999 and 2024 the price was 12345 or 100000, don't we'll I'VE\n\n\n",
    "  two  spaces   three\t\ttabs \r\n lines\n  indented: x = [1, 22, 333];\n",
    "a   1 b    22  c   333\n    4\n" * 3,
    "naïve café cafe\u0301 日本語 123 かな 🙂🙂 «quotes» — dashes… <|x|> a_b-c/d\\e",
]
ALPHABET = "ab 1\n\t\ré日🙂.,'\"<>|_▁ST\u0301"
HARD = CORPUS + [
    "".join(random.Random(seed).choice(ALPHABET) for _ in range(40)) for seed in range(60)
]
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
CASED = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def split(pattern: str) -> Any:
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), behavior="isolated"), BYTES]
    )


PUBLISHED = {
    "gpt-2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "smollm": pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    ),
    "llama-bpe": split(CASED + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + REST),
    "qwen2": split(CASED + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + REST),
}
"""Rule → how the published tokenizer's file splits text."""


def trained(rule: str) -> Any:
    """A tokenizer that splits as the published one and merged as much as its corpus gives."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = PUBLISHED[rule]
    backend.decoder = decoders.ByteLevel()
    if rule == "qwen2":
        backend.normalizer = normalizers.NFC()
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(CORPUS * 3, trainer)
    backend.add_special_tokens([AddedToken(t, normalized=False) for t in ("<|bos|>", "<|end|>")])
    backend.add_tokens([AddedToken("<think>", normalized=False)])
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<|bos|>", eos_token="<|end|>"
    )


@pytest.mark.parametrize("rule", PUBLISHED)
def test_ids_are_those_of_the_tokenizer_that_the_file_was_made_of(
    rule: str, tmp_path: Path
) -> None:
    published = trained(rule)
    path = write_gguf(tmp_path / "a.gguf", published, pre=rule, keys={"add_bos_token": False})
    found = gguf_tokenizer(path)
    assert len(found) == len(published)
    for text in [*HARD, "a<|end|><think> b"]:
        ids = published(text)["input_ids"]
        assert found(text)["input_ids"] == ids
        assert found.decode(ids) == published.decode(ids)
    assert (found.bos_token, found.eos_token) == ("<|bos|>", "<|end|>")
    special = published.convert_tokens_to_ids(["<|bos|>", "<|end|>"])
    assert set(found.all_special_ids) == set(special)


def test_the_rules_differ_so_that_a_wrong_one_would_show(tmp_path: Path) -> None:
    published = trained("smollm")
    as_gpt2 = gguf_tokenizer(write_gguf(tmp_path / "a.gguf", published, pre="gpt-2"))
    assert any(published(text)["input_ids"] != as_gpt2(text)["input_ids"] for text in HARD)


def test_words_of_the_vocabulary_go_before_merges_where_the_rule_has_it(tmp_path: Path) -> None:
    def vocabulary(path: Path, rule: str) -> list[int]:
        # A word that no merge leads to, as some of Llama 3's.
        words = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "ab", "qz"]
        vocab = {word: id for id, word in enumerate(words)}
        made = Tokenizer(models.BPE(vocab=vocab, merges=[("a", "b")]))
        made.pre_tokenizer = PUBLISHED["gpt-2"]
        tokens = hf.PreTrainedTokenizerFast(tokenizer_object=made)
        ids: list[int] = gguf_tokenizer(write_gguf(path, tokens, pre=rule))("qz")["input_ids"]
        return ids

    assert len(vocabulary(tmp_path / "a.gguf", "llama-bpe")) == 1
    assert len(vocabulary(tmp_path / "b.gguf", "gpt-2")) == 2


@pytest.mark.parametrize(("adds", "count"), [(True, 1), (False, 0), (None, 1)])
def test_bos_is_added_where_the_file_or_its_rule_says_so(
    adds: bool | None, count: int, tmp_path: Path
) -> None:
    keys = {} if adds is None else {"add_bos_token": adds}
    path = write_gguf(tmp_path / "a.gguf", tokenizers.llama3(), pre="llama-bpe", keys=keys)
    found = gguf_tokenizer(path)
    assert found("What?")["input_ids"].count(found.bos_token_id) == count


def test_gemmas_pieces_are_merged_as_transformers_merges_them(tmp_path: Path) -> None:
    tokens = tokenizers.gemma()
    path = write_gguf(tmp_path / "a.gguf", tokens, pre="default", architecture="gemma3")
    kind, about, _ = hf.integrations.gguf.get_gguf_tokenizer(str(path))
    theirs, _ = hf.integrations.gguf.convert_gguf_tokenizer(kind, about)
    found = gguf_tokenizer(path)
    for text in [*HARD, "<start_of_turn>user\nWhat  does it show?<end_of_turn>\n"]:
        ids = found(text)["input_ids"]
        assert ids == [tokens.bos_token_id, *theirs.encode(text, add_special_tokens=False).ids]
        assert found.decode(ids) == "<bos>" + text.replace("▁", " ")


def test_answers_end_where_the_template_ends_a_turn(tmp_path: Path) -> None:
    tokens = tokenizers.llama3()
    tokens.chat_template = (
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}<|eot_id|>{% endfor %}"
    )
    tokens.eos_token = "<|end_of_text|>"
    eom = tokens.convert_tokens_to_ids("<|eom_id|>")
    path = write_gguf(tmp_path / "a.gguf", tokens, pre="llama-bpe", keys={"eom_token_id": eom})
    names = ["<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"]
    found = gguf_tokenizer(path)
    assert end_ids(path, found) == sorted(tokens.convert_tokens_to_ids(names))
    found.chat_template = None
    assert end_ids(path, found) == sorted(tokens.convert_tokens_to_ids(names[:2]))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint's folder, and a GGUF file of it."""
    folder = tmp_path_factory.mktemp("smollm")
    TOYS["smollm"](folder)
    model = hf.AutoModelForCausalLM.from_pretrained(folder)
    tokens = hf.AutoTokenizer.from_pretrained(folder)
    path = tmp_path_factory.mktemp("gguf") / "toy.gguf"
    return folder, write_gguf(path, tokens, keys={"add_bos_token": False}, model=model)


def test_a_file_is_recorded_as_the_checkpoint_that_it_was_made_of(
    pair: tuple[Path, Path], make_sample: Callable[..., Sample]
) -> None:
    folder, file = pair
    answers, prompts = [], []
    for path in (folder, file):
        adapter = load_adapter(describe_model(str(path)), Weights("auto", "cpu"))
        install(adapter.model, adapter.decoder)
        prompts.append(adapter.prepare(make_sample("Look at the next frame.\n\n  How many, 12?")))
        answers.append(answer_one(adapter, prompts[-1], GenerationOptions(max_new_tokens=4)))
        assert adapter.model.dtype == torch.float32
    assert prompts[0].prompt.prompt_ids.tolist() == prompts[1].prompt.prompt_ids.tolist()
    assert answers[0].ids.tolist() == answers[1].ids.tolist()
    for name, rows in answers[0].signals.items():
        np.testing.assert_allclose(answers[1].signals[name].values, rows.values, atol=1e-6, rtol=0)


def test_its_identity_is_the_file(pair: tuple[Path, Path]) -> None:
    spec = describe_model(str(pair[1]))
    digest = hashlib.sha256(pair[1].read_bytes()).hexdigest()
    assert spec.identity == {
        "model": "toy.gguf",
        "model_type": "llama",
        "revision": f"sha256:{digest}",
    }
    assert spec.dtype == "float32"
    assert describe_model(str(pair[1].parent)).identity == spec.identity


def test_a_tokenizer_of_another_folder(pair: tuple[Path, Path], tmp_path: Path) -> None:
    folder, file = pair
    spec = describe_model(str(file), tokenizer=str(folder))
    assert spec.identity["tokenizer"].startswith("sha256:")
    adapter: Any = load_adapter(spec, Weights("auto", "cpu"))
    assert adapter.tokenizer.backend_tokenizer.post_processor is not None
    TOYS["mistral"](tmp_path)
    with pytest.raises(CommandError, match=r"has \d+ tokens and the model .* \d+: name"):
        load_adapter(describe_model(str(file), tokenizer=str(tmp_path)), Weights("auto", "cpu"))


def test_weights_of_a_file_are_not_quantised_again(pair: tuple[Path, Path]) -> None:
    with pytest.raises(CommandError, match="leave out --quantize"):
        load_adapter(describe_model(str(pair[1])), Weights("auto", "cpu", quantize="8bit"))


def test_damaged_files_are_told(pair: tuple[Path, Path], tmp_path: Path) -> None:
    whole = pair[1].read_bytes()
    assert is_gguf(pair[1])
    assert read_metadata(pair[1])["general.architecture"] == "llama"
    for cut in (4, 11, 24, 40, 200, 5_000):
        (tmp_path / "cut.gguf").write_bytes(whole[:cut])
        with pytest.raises(CommandError, match="damaged, cut off or of a version"):
            read_metadata(tmp_path / "cut.gguf")
    randomly = random.Random(0)
    for _ in range(200):
        damaged = bytearray(whole[:6_000])
        for _ in range(3):
            damaged[randomly.randrange(4, 400)] = randomly.randrange(256)
        (tmp_path / "bad.gguf").write_bytes(damaged)
        with suppress(CommandError):
            read_metadata(tmp_path / "bad.gguf")
