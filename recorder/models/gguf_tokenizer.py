"""The tokenizer that a GGUF file describes, and the tokens that end its answers.

A GGUF file holds vocabulary, merges and special tokens, but only the name of the rule by which
text is split into words. The rules known here give the ids of the published tokenizers; files with
another rule are refused by `recorder.models.checkpoint`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import transformers
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from omnitrace.errors import CommandError
from recorder.models.checkpoint import DIGIT_SPLITS, PLAIN_SPLITS, WHOLE_WORD_SPLITS
from recorder.models.gguf import read_metadata

CONTROL, USER_DEFINED = 3, 4
COMPOSED = frozenset({"qwen2", "qwen35"})
"""Rules of tokenizers that bring text to Unicode's composed form (NFC) first."""
NAMED = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
ENDS = ("eos", "eot", "eom")
KEPT = frozenset({f"tokenizer.ggml.{key}" for key in ("tokens", "merges", "scores", "token_type")})

hf: Any = transformers


def gguf_tokenizer(path: Path) -> Any:
    """The tokenizer of the GGUF file `path`, with its chat template if the file has one.

    CommandError if this transformers does not know how the file's tokenizer splits text.
    """
    about = {
        key.removeprefix("tokenizer."): value for key, value in read_metadata(path, KEPT).items()
    }
    tokens = _spelled(about)
    make = _of_bytes if about["ggml.model"] == "gpt2" else _of_pieces
    backend = make(tokens, about)
    types = about.get("ggml.token_type") or [1] * len(tokens)
    for kind, special in ((CONTROL, True), (USER_DEFINED, False)):
        backend.add_tokens(
            [
                AddedToken(token, normalized=False, special=special)
                for token, type in zip(tokens, types, strict=True)
                # Runs of spaces come from merges: as added tokens they would not meet spaces.
                if type == kind and token.strip("▁")
            ]
        )
    named = {
        name: tokens[about[f"ggml.{key}_token_id"]]
        for name, key in NAMED.items()
        if f"ggml.{key}_token_id" in about
    }
    if _adds_bos(about):
        bos = named["bos_token"]
        backend.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A",
            pair=f"{bos} $A {bos} $B",
            special_tokens=[(bos, about["ggml.bos_token_id"])],
        )
    template = about.get("chat_template")
    return hf.PreTrainedTokenizerFast(tokenizer_object=backend, chat_template=template, **named)


def end_ids(path: Path, tokenizer: Any) -> list[int]:
    """Token ids that end an answer: those that the file names, and the end of a template's turn.

    A GGUF file holds no generation configuration, and files of chat models often name only the
    base model's end of text.
    """
    about = read_metadata(path)
    named = {about[key] for end in ENDS if (key := f"tokenizer.ggml.{end}_token_id") in about}
    return sorted(named | set(_turn_end(tokenizer)))


def _turn_end(tokenizer: Any) -> Sequence[int]:
    """The special token that the chat template writes after an answer, if it writes one."""
    if not tokenizer.chat_template:
        return ()
    answer = "\ue000"
    chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": answer}]
    _, _, tail = tokenizer.apply_chat_template(chat, tokenize=False).partition(answer)
    first = tokenizer(tail, add_special_tokens=False)["input_ids"][:1]
    added = tokenizer.added_tokens_decoder
    return [token for token in first if token in added and added[token].special]


def _adds_bos(about: Mapping[str, Any]) -> bool:
    usual = about["ggml.model"] == "llama" or about.get("ggml.pre") in WHOLE_WORD_SPLITS
    return bool(about.get("ggml.add_bos_token", usual)) and "ggml.bos_token_id" in about


def _spelled(about: Mapping[str, Any]) -> list[str]:
    """The tokens as the vocabulary has them: SentencePiece's spaces are `▁` also in runs."""
    tokens: list[str] = about["ggml.tokens"]
    if about["ggml.model"] == "gpt2":
        return tokens
    return [token if token.strip(" ") else token.replace(" ", "▁") for token in tokens]


def _vocabulary(tokens: Sequence[str]) -> dict[str, int]:
    return {token: id for id, token in enumerate(tokens)}


def _of_bytes(tokens: Sequence[str], about: Mapping[str, Any]) -> Tokenizer:
    """Byte-level BPE."""
    rule = about["ggml.pre"]
    merges = [tuple(merge.split(" ")) for merge in about["ggml.merges"]]
    vocabulary = _vocabulary(tokens)
    backend = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, ignore_merges=rule in WHOLE_WORD_SPLITS)
    )
    if rule in COMPOSED:
        backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.Sequence(list(_splits(rule)))
    backend.decoder = decoders.ByteLevel()
    return backend


def _splits(rule: str) -> Iterator[Any]:
    if rule in DIGIT_SPLITS:
        yield pre_tokenizers.Digits(individual_digits=True)
    own = rule in DIGIT_SPLITS | PLAIN_SPLITS
    if not own:
        yield pre_tokenizers.Split(Regex(_pattern(rule)), behavior="isolated")
    yield pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=own)


def _pattern(rule: str) -> str:
    try:
        from transformers.integrations.gguf import gguf_tokenizer_mapping

        return str(gguf_tokenizer_mapping.GGUF_PRE_TOKENIZER_SPLITS[rule])
    except (ImportError, AttributeError, KeyError) as error:
        raise CommandError(
            f"transformers {transformers.__version__} does not know how the file's tokenizer "
            f"splits text ('{rule}'): pip install --upgrade transformers, or name a folder with "
            "the model's tokenizer with --tokenizer."
        ) from error


def _of_pieces(tokens: Sequence[str], about: Mapping[str, Any]) -> Tokenizer:
    """SentencePiece's BPE as Gemma has it: no space before a text, bytes for what has no piece."""
    vocabulary = _vocabulary(tokens)
    unknown = tokens[about["ggml.unknown_token_id"]]
    backend = Tokenizer(
        models.BPE(
            vocab=vocabulary,
            merges=_merges(vocabulary),
            unk_token=unknown,
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return backend


def _merges(vocabulary: Mapping[str, int]) -> list[tuple[str, str]]:
    """The merges that a vocabulary implies: of every piece in turn, all its halves.

    Gemma's pieces stand in the order in which they were merged, which its scores do not tell.
    """
    return [
        (piece[:at], piece[at:])
        for piece in vocabulary
        for at in range(len(piece) - 1, 0, -1)
        if piece[:at] in vocabulary and piece[at:] in vocabulary
    ]
