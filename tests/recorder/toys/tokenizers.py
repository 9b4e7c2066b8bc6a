"""Small tokenizers that behave as the published ones of each family do, without chat templates.

Each function returns a tokenizer of the class that the family's checkpoints load. `marks` are more
special tokens; `named` are special tokens that become attributes (`image_token="<image>"` gives
`tokenizer.image_token` and `tokenizer.image_token_id`). The caller sets `chat_template`.

What a call with `add_special_tokens=True` writes before the text:

- `<|begin_of_text|>`: llama3, llama4
- `<｜begin▁of▁sentence｜>`: deepseek
- `<s>`: mistral, llama2, tekken (Mistral's newer models: Pixtral, Mistral 3, Voxtral)
- `<bos>`: gemma
- nothing: qwen, phi3, phi4, phi4_mini, olmo2, granite, smollm, gpt_oss

mistral, llama2, phi3 and gemma have SentencePiece's pieces with byte fallback, the others bytes.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import transformers
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

hf: Any = transformers
"""Its constructors are untyped."""

MERGES = 96
TEXT = (
    "What does the image show? What do you hear in the audio, and what moves in the video? "
    "The parcel weighs seven kilos. You are a helpful assistant. Answer it with one word. "
    "The user asks, the assistant answers: there is a red square on the left and a blue circle. "
    "Look at the first frame, then at the next frame. How many are there? There are three of them."
)
"""The corpus of the merges."""
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
"""The pieces of a byte fallback."""

Vocabulary = tuple[dict[str, int], list[tuple[str, str]]]


@cache
def _byte_level() -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Pieces, the 256 bytes first, and merges."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    return _train(tokenizer, alphabet)


@cache
def _metaspace() -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Pieces, `▁` and ASCII's printable characters and the line break first, and merges."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return _train(tokenizer, ["▁", "\n", *(chr(code) for code in range(33, 127))])


def _train(
    tokenizer: Tokenizer, alphabet: list[str]
) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + MERGES, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    vocabulary = tokenizer.get_vocab()
    pieces = tuple(sorted(vocabulary, key=lambda piece: vocabulary[piece]))
    return pieces, _merges(pieces)


def _merges(pieces: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The merge that makes each piece of more than one character, in the order of the pieces."""
    known: set[str] = {piece for piece in pieces if len(piece) == 1}
    found: list[tuple[str, str]] = []
    for piece in pieces:
        if len(piece) > 1:
            halves = ((piece[:at], piece[at:]) for at in range(1, len(piece)))
            found.append(next(pair for pair in halves if pair[0] in known and pair[1] in known))
            known.add(piece)
    return tuple(found)


def _of_bytes() -> Vocabulary:
    pieces, merges = _byte_level()
    return {piece: number for number, piece in enumerate(pieces)}, list(merges)


def of_pieces(specials: tuple[str, ...]) -> Vocabulary:
    """SentencePiece's order: special tokens, bytes, pieces."""
    pieces, merges = _metaspace()
    everything = [*specials, *BYTES, *pieces]
    return {piece: number for number, piece in enumerate(everything)}, list(merges)


def bytes_tokenizer(marks: tuple[str, ...], *, adds: str | None = None, **settings: Any) -> Any:
    """A byte-level tokenizer; the post-processor writes `adds`."""
    vocabulary, merges = _of_bytes()
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    # The published files give every special token an id after the vocabulary, in the file's order.
    backend.add_special_tokens([AddedToken(mark, normalized=False, special=True) for mark in marks])
    steps: list[Any] = [processors.ByteLevel(trim_offsets=False)]
    if adds is not None:
        template = processors.TemplateProcessing(
            single=f"{adds} $A",
            pair=f"{adds} $A {adds}:1 $B:1",
            special_tokens=[(adds, backend.token_to_id(adds))],
        )
        steps.append(template)
    backend.post_processor = processors.Sequence(steps)
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=backend, extra_special_tokens=list(marks), **settings
    )


def llama3(*marks: str, **named: str) -> Any:
    """Llama 3's: the post-processor writes BOS, and so does the published template."""
    own = (
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|finetune_right_pad_id|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eom_id|>",
        "<|eot_id|>",
        "<|python_tag|>",
    )
    return bytes_tokenizer(
        (*own, *marks, *named.values()),
        adds=own[0],
        bos_token=own[0],
        eos_token="<|eot_id|>",
        pad_token=own[2],
        **named,
    )


def llama4(*marks: str, **named: str) -> Any:
    """Llama 4's: as Llama 3's, with other marks of turns."""
    own = (
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|header_start|>",
        "<|header_end|>",
        "<|eom|>",
        "<|eot|>",
        "<|python_start|>",
        "<|python_end|>",
        "<|finetune_right_pad|>",
    )
    return bytes_tokenizer(
        (*own, *marks, *named.values()),
        adds=own[0],
        bos_token=own[0],
        eos_token="<|eot|>",
        pad_token=own[-1],
        **named,
    )


def deepseek(*marks: str, **named: str) -> Any:
    """DeepSeek-V3's: `add_bos_token` writes BOS, and so does the published template."""
    own = (
        "<｜begin▁of▁sentence｜>",
        "<｜end▁of▁sentence｜>",
        "<｜▁pad▁｜>",
        "<｜User｜>",
        "<｜Assistant｜>",
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁calls▁end｜>",
        "<｜tool▁call▁begin｜>",
        "<｜tool▁call▁end｜>",
        "<｜tool▁sep｜>",
        "<｜tool▁outputs▁begin｜>",
        "<｜tool▁outputs▁end｜>",
        "<｜tool▁output▁begin｜>",
        "<｜tool▁output▁end｜>",
    )
    made = bytes_tokenizer(
        (*own, *marks, *named.values()),
        bos_token=own[0],
        eos_token=own[1],
        pad_token=own[2],
        add_bos_token=True,
        add_eos_token=False,
        **named,
    )
    # As published: marks of thinking are added tokens that decoding does not skip.
    made.add_tokens(
        [AddedToken("<think>", normalized=False), AddedToken("</think>", normalized=False)]
    )
    return made


def qwen(*marks: str, **named: str) -> Any:
    """Qwen 2's to 3's: NFC, no BOS; marks of thinking and tools are not special tokens."""
    vocabulary, merges = _of_bytes()
    own = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    for mark in own:
        vocabulary[mark] = len(vocabulary)
    made = hf.Qwen2Tokenizer(
        vocab=vocabulary,
        merges=merges,
        bos_token=None,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=[*own[1:], *marks, *named.values()],
        **named,
    )
    plain = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
    thinking = ("<think>", "</think>")
    made.add_tokens([AddedToken(mark, normalized=False) for mark in (*plain, *thinking)])
    return made


def gpt_oss(*marks: str, **named: str) -> Any:
    """gpt-oss': the harmony format's marks; BOS exists, and nothing writes it."""
    own = (
        "<|startoftext|>",
        "<|endoftext|>",
        "<|return|>",
        "<|constrain|>",
        "<|channel|>",
        "<|start|>",
        "<|end|>",
        "<|message|>",
        "<|call|>",
    )
    return bytes_tokenizer(
        (*own, *marks, *named.values()),
        bos_token=own[0],
        eos_token="<|return|>",
        pad_token=own[1],
        **named,
    )


def phi4(*marks: str, **named: str) -> Any:
    """Phi-4's (14B): no BOS is written."""
    own = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_sep|>", "<|dummy_85|>")
    return bytes_tokenizer(
        (*own, *marks, *named.values()),
        bos_token=own[0],
        eos_token="<|im_end|>",
        pad_token=own[-1],
        **named,
    )


def phi4_mini(*marks: str, **named: str) -> Any:
    """Phi-4-mini's and Phi-4-multimodal's: no BOS is written."""
    own = (
        "<|endoftext|>",
        "<|end|>",
        "<|user|>",
        "<|assistant|>",
        "<|system|>",
        "<|tool|>",
        "<|/tool|>",
    )
    return bytes_tokenizer(
        (*own, *marks, *named.values()),
        bos_token=own[0],
        eos_token=own[0],
        pad_token=own[0],
        **named,
    )


def olmo2(*marks: str, **named: str) -> Any:
    """OLMo 2's: BOS and EOS are one token, which only the template writes; roles are plain text."""
    own = ("<|endoftext|>", "<|pad|>")
    return bytes_tokenizer(
        (*own, *marks, *named.values()),
        bos_token=own[0],
        eos_token=own[0],
        pad_token=own[1],
        **named,
    )


def granite(*marks: str, **named: str) -> Any:
    """Granite 3's: BOS, EOS and padding are one token, and nothing writes it at the beginning."""
    own = (
        "<|end_of_text|>",
        "<|start_of_role|>",
        "<|end_of_role|>",
        "<|tool_call|>",
    )
    return bytes_tokenizer(
        (*own, *marks, *named.values()),
        bos_token=own[0],
        eos_token=own[0],
        pad_token=own[0],
        **named,
    )


def smollm(*marks: str, **named: str) -> Any:
    """SmolLM2's: BOS is `<|im_start|>`, with which every turn of the template begins."""
    own = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    return bytes_tokenizer(
        (*own, *marks, *named.values()),
        bos_token=own[1],
        eos_token=own[2],
        pad_token=own[2],
        **named,
    )


def tekken(*marks: str, **named: str) -> Any:
    """Mistral's newer one as Hugging Face's format has it: the post-processor writes `<s>`."""
    own = (
        "<unk>",
        "<s>",
        "</s>",
        "[INST]",
        "[/INST]",
        "[AVAILABLE_TOOLS]",
        "[/AVAILABLE_TOOLS]",
        "[TOOL_RESULTS]",
        "[/TOOL_RESULTS]",
        "[TOOL_CALLS]",
        "<pad>",
        "[SYSTEM_PROMPT]",
        "[/SYSTEM_PROMPT]",
    )
    return bytes_tokenizer(
        (*own, *marks, *named.values()),
        adds="<s>",
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        **named,
    )


def _llama(specials: tuple[str, ...], named: dict[str, str], **settings: Any) -> Any:
    everything = ("<unk>", "<s>", "</s>", *specials, *named.values())
    vocabulary, merges = of_pieces(everything)
    return hf.LlamaTokenizer(
        vocab=vocabulary,
        merges=merges,
        add_bos_token=True,
        add_eos_token=False,
        legacy=False,
        extra_special_tokens=list(everything[3:]),
        **settings,
        **named,
    )


def mistral(*marks: str, **named: str) -> Any:
    """Mistral 7B's: `<s>` is added, and the published template writes it too."""
    own = (
        "[INST]",
        "[/INST]",
        "[TOOL_CALLS]",
        "[AVAILABLE_TOOLS]",
        "[/AVAILABLE_TOOLS]",
        "[TOOL_RESULTS]",
        "[/TOOL_RESULTS]",
    )
    return _llama((*own, *marks), named)


def llama2(*marks: str, **named: str) -> Any:
    """Llama 2's and Vicuna's: `<s>` is added; `[INST]` is plain text; `<unk>` pads."""
    return _llama(marks, named, pad_token="<unk>")


def phi3(*marks: str, **named: str) -> Any:
    """Phi-3's: `▁` before the text after every mark; marks take the white space after them."""
    own = ("<|endoftext|>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>")
    everything = ("<unk>", "<s>", "</s>", *own, *marks, *named.values())
    vocabulary, merges = of_pieces(everything)
    backend = Tokenizer(
        models.BPE(
            vocab=vocabulary, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True
        )
    )
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1),
        ]
    )
    backend.add_special_tokens(
        [
            AddedToken(mark, normalized=False, special=True, rstrip=mark in own[1:])
            for mark in everything
        ]
    )
    backend.post_processor = processors.TemplateProcessing(single="$A", pair="$A $B:1")
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        padding_side="left",
        **named,
    )


def gemma(*marks: str, **named: str) -> Any:
    """Gemma 2's to 3n's: `<bos>` is added, and the published template writes it too."""
    first = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")
    own = ("<start_of_turn>", "<end_of_turn>")
    vocabulary, merges = of_pieces((*first, *own, *marks, *named.values()))
    return hf.GemmaTokenizer(
        vocab=vocabulary,
        merges=merges,
        add_bos_token=True,
        add_eos_token=False,
        extra_special_tokens=[*own, *marks, *named.values()],
        **named,
    )
