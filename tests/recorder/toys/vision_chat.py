"""Chat templates and tokenizers of image and video chat models, as the published ones behave.

What differs between families and matters: who writes BOS, whether texts are trimmed, whether media
stand in their order or first, what stands beside a placeholder, and which roles are accepted.
Templates are rendered with `trim_blocks`: a line break right after a `{% %}` needs `{{ }}`.
"""

from __future__ import annotations

from typing import Any

from tests.recorder.toys import tokenizers
from tests.recorder.toys.common import hf

Media = dict[str, str]
"""What a template writes for an image, an audio and a video."""


def content(media: Media, text: str = "{{ part['text'] }}", string: str | None = None) -> str:
    """Jinja text that writes a message's content: a string, or parts in their order."""
    branches = "".join(
        f"{{% elif part['type'] == '{kind}' %}}{written}" for kind, written in media.items()
    )
    parts = (
        "{% for part in message['content'] %}"
        f"{{% if part['type'] == 'text' %}}{text}{branches}{{% endif %}}"
        "{% endfor %}"
    )
    return _string_or(string or text.replace("part['text']", "message['content']"), parts)


def media_first(media: Media, text: str) -> str:
    """Jinja text that writes all parts of the first kind, then of the next, and texts last."""
    loops = "".join(
        f"{{% for part in message['content'] if part['type'] == '{kind}' %}}{written}{{% endfor %}}"
        for kind, written in {**media, "text": text}.items()
    )
    return _string_or(text.replace("part['text']", "message['content']"), loops)


def _string_or(string: str, parts: str) -> str:
    return f"{{% if message['content'] is string %}}{string}{{% else %}}{parts}{{% endif %}}"


def turns(each: str, prompt: str, begin: str = "") -> str:
    """A template: `begin`, `each` for every message, `prompt` with `add_generation_prompt`."""
    return (
        f"{begin}{{% for message in messages %}}{each}{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{prompt}{{% endif %}}"
    )


def chatml(written: str, begin: str = "", prompt: str = "<|im_start|>assistant\n") -> str:
    """ChatML around `written`, the content of a message."""
    return turns(f"<|im_start|>{{{{ message['role'] }}}}\n{written}<|im_end|>\n", prompt, begin)


DEFAULT_SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
)
QWEN_MEDIA = {
    "image": "<|vision_start|><|image_pad|><|vision_end|>",
    "video": "<|vision_start|><|video_pad|><|vision_end|>",
}
QWEN2_VL = chatml(content(QWEN_MEDIA), DEFAULT_SYSTEM)
QWEN3_VL = chatml(content(QWEN_MEDIA))

_QWEN3_5_CONTENT = (
    f"{{% set written %}}{content(QWEN_MEDIA)}{{% endset %}}{{% set written = written | trim %}}"
)
_QWEN3_5_ASSISTANT = (
    "{% if message['role'] == 'assistant' %}"
    "{% set thought = message['reasoning_content'] or '' %}"
    "{% if '</think>' in written %}"
    "{% set thought = written.split('</think>')[0].split('<think>')[-1] %}"
    "{% set written = written.split('</think>')[-1] | trim %}{% endif %}"
    "{% if loop.index0 > last.query %}"
    "{% set written = '<think>\n' ~ thought | trim ~ '\n</think>\n\n' ~ written %}{% endif %}"
    "{% endif %}"
)
QWEN3_5 = turns(
    f"{_QWEN3_5_CONTENT}{_QWEN3_5_ASSISTANT}"
    "<|im_start|>{{ message['role'] }}\n{{ written }}<|im_end|>\n",
    "<|im_start|>assistant\n<think>\n"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '\n' }}</think>\n\n{% endif %}",
    "{% set last = namespace(query=0) %}{% for message in messages %}"
    "{% if message['role'] == 'user' %}{% set last.query = loop.index0 %}{% endif %}{% endfor %}",
)
"""Contents are trimmed; thinking before the last question is dropped, an answer begins with it."""

GLM4V = turns(
    "<|{{ message['role'] }}|>\n"
    + content(
        {
            "image": "<|begin_of_image|><|image|><|end_of_image|>",
            "video": "<|begin_of_video|><|video|><|end_of_video|>",
        }
    ),
    "<|assistant|>\n",
    "[gMASK]<sop>",
)


def gemma(media: Media) -> str:
    """Gemma 3's: BOS, trimmed texts, a system message at the head of the first user's turn."""
    written = content(media, "{{ part['text'] | trim }}")
    system = (
        "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}"
        "{% if system is not string %}{% set system = system[0]['text'] %}{% endif %}"
        "{% set head = system ~ '\n\n' %}{% set messages = messages[1:] %}"
        "{% else %}{% set head = '' %}{% endif %}"
    )
    alternate = (
        "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Roles must be user, assistant, user, assistant and so on') }}"
        "{% endif %}"
    )
    role = "{{ 'model' if message['role'] == 'assistant' else message['role'] }}"
    return turns(
        f"{alternate}<start_of_turn>{role}\n{{{{ head if loop.first else '' }}}}{written}"
        "<end_of_turn>\n",
        "<start_of_turn>model\n",
        "{{ bos_token }}" + system,
    )


GEMMA3 = gemma({"image": "<start_of_image>"})
GEMMA3N = gemma({"image": "<image_soft_token>", "audio": "<audio_soft_token>"})
GEMMA4 = turns(
    "<|turn>{{ 'model' if message['role'] == 'assistant' else message['role'] }}\n"
    + content(
        {
            "image": "{{ '\n\n' }}<|image|>\n\n",
            "audio": "<|audio|>",
            "video": "{{ '\n\n' }}<|video|>\n\n",
        },
        "{{ part['text'] | trim }}",
    )
    + "<turn|>\n",
    "<|turn>model\n",
    "{{ bos_token }}",
)

LLAVA = turns(
    "{% if message['role'] != 'system' %}{{ message['role'] | upper }}: {% endif %}"
    + media_first({"image": "<image>\n"}, "{{ part['text'] }} "),
    "ASSISTANT:",
)
"""BOS is left to the tokenizer; every text ends in a blank."""
LLAVA_NEXT = turns(
    "{% if message['role'] == 'system' %}<<SYS>>\n{{ message['content'] }}\n<</SYS>>\n\n"
    "{% elif message['role'] == 'user' %}[INST] "
    + media_first({"image": "<image>\n"}, "{{ part['text'] }}")
    + " [/INST]{% else %} "
    + media_first({}, "{{ part['text'] }}")
    + "</s> {% endif %}",
    "",
)
"""LLaVA-NeXT on Mistral 7B's; BOS is left to the tokenizer."""
LLAVA_ONEVISION = turns(
    "<|im_start|>{{ message['role'] }} "
    + media_first({"image": "<image>", "video": "<video>"}, "{{ '\n' ~ part['text'] }}")
    + "<|im_end|>",
    "<|im_start|>assistant\n",
)
INTERNVL = chatml(content({"image": "<IMG_CONTEXT>\n", "video": "<video>\n"}))


def idefics(begin: str) -> str:
    """Idefics 3's and SmolVLM's: roles in words, a colon without a blank before an image."""
    image = "message['content'] is not string and message['content'][0]['type'] == 'image'"
    return turns(
        f"{{{{ message['role'] | capitalize }}}}{{% if {image} %}}:{{% else %}}: {{% endif %}}"
        + content({"image": "<image>"})
        + "<end_of_utterance>\n",
        "Assistant:",
        begin,
    )


IDEFICS3 = idefics("<|begin_of_text|>")
SMOLVLM = idefics("<|im_start|>")
MISTRAL3 = turns(
    "{% if message['role'] == 'system' %}[SYSTEM_PROMPT]"
    + content({})
    + "[/SYSTEM_PROMPT]{% elif message['role'] == 'user' %}[INST]"
    + content({"image": "[IMG]"})
    + "[/INST]{% elif message['role'] == 'assistant' %}"
    + content({})
    + "{{ eos_token }}{% else %}"
    "{{ raise_exception('Only user, system and assistant roles are supported') }}{% endif %}",
    "",
    "{{ bos_token }}",
)
LLAMA4 = turns(
    "<|header_start|>{{ message['role'] }}<|header_end|>\n\n"
    + content({"image": "<|image|>"}, "{{ part['text'] | trim }}")
    + "<|eot|>",
    "<|header_start|>assistant<|header_end|>\n\n",
    "{{ bos_token }}",
)
PHI4_MULTIMODAL = turns(
    "<|{{ message['role'] }}|>" + content({"image": "<|image|>", "audio": "<|audio|>"}) + "<|end|>",
    "<|assistant|>",
)
LFM2_VL = chatml(content({"image": "<image>"}), "{{ bos_token }}")


def qwen() -> Any:
    """Qwen2-VL's to Qwen3.5's: placeholders are not attributes of the tokenizer."""
    marks = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    return tokenizers.qwen(*marks)


def glm() -> Any:
    """GLM-4.1V's: `[gMASK]<sop>` is the template's, and the tokenizer adds nothing."""
    media = ("image", "video")
    marks = [f"<|{end}_of_{kind}|>" for kind in media for end in ("begin", "end")]
    roles = [f"<|{role}|>" for role in ("system", "user", "assistant", "observation", *media)]
    return tokenizers.bytes_tokenizer(
        ("<|endoftext|>", "[gMASK]", "<sop>", *roles, *marks),
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
    )


def lfm2() -> Any:
    """LFM2's: template and post-processor write `<|startoftext|>`."""
    tiles = [f"<|img_row_{row}_col_{column}|>" for row in range(1, 5) for column in range(1, 5)]
    own = ("<|pad|>", "<|startoftext|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>")
    image = ("<|image_start|>", "<|image_end|>", "<|img_thumbnail|>")
    return tokenizers.bytes_tokenizer(
        (*own, *image, *tiles),
        adds="<|startoftext|>",
        bos_token="<|startoftext|>",
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
    )


GEMMA3N_SPAN = 8
"""How many ids follow the vocabulary of text for images, and as many for audio; published: 128."""


def gemma3n() -> Any:
    """Gemma 3n's: the ids of images and then those of audio follow the vocabulary of text."""
    names = {"boi_token": "<start_of_image>", "boa_token": "<start_of_audio>"}
    text = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>")
    vocabulary, merges = tokenizers.of_pieces((*text, *names.values()))
    after = max(vocabulary.values()) + 1
    for kind, letter in (("image", "i"), ("audio", "a")):
        names |= {f"eo{letter}_token": f"<end_of_{kind}>", f"{kind}_token": f"<{kind}_soft_token>"}
        vocabulary |= {f"<end_of_{kind}>": after, f"<{kind}_soft_token>": after + 1}
        rest = range(2, GEMMA3N_SPAN)
        vocabulary |= {f"<unused_{kind}_{number}>": after + number for number in rest}
        after += GEMMA3N_SPAN
    return hf.GemmaTokenizer(
        vocab=vocabulary,
        merges=merges,
        add_bos_token=True,
        add_eos_token=False,
        extra_special_tokens=[*text[5:], *names.values()],
        **names,
    )


def _idefics_marks() -> list[str]:
    return [f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)]


def idefics3() -> Any:
    """Idefics 3's: Llama 3's with marks of tiles; a turn ends in its own token."""
    tokens = tokenizers.llama3(
        "<fake_token_around_image>",
        "<image>",
        "<end_of_utterance>",
        "<global-img>",
        *_idefics_marks(),
    )
    tokens.eos_token = "<end_of_utterance>"
    return tokens


def smolvlm() -> Any:
    """SmolVLM's: SmolLM2's with marks of tiles; `<|im_start|>` begins the prompt only."""
    tokens = tokenizers.smollm(
        *_idefics_marks(),
        fake_image_token="<fake_token_around_image>",
        image_token="<image>",
        global_image_token="<global-img>",
        end_of_utterance_token="<end_of_utterance>",
    )
    tokens.eos_token = "<end_of_utterance>"
    return tokens
