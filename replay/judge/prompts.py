"""The prompts of a judge: the task of the paper's App. B.1, in our own words, for all modalities.

Pure functions from a trace, and its encoded media, to chat messages. Knows no server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from omnitrace.trace import Trace
from replay.evaluation.labels import last_second, media_of, sentences_of
from replay.evaluation.space import MODALITIES, prompt_sentences

Message = dict[str, Any]
Part = dict[str, Any]

JOB = """\
You look for the evidence behind what a language model wrote. You are shown all that the model \
was given, piece by piece, and then its response, cut into sentences. Say for each sentence which \
pieces bear it out.

How to decide:
- A piece is evidence if a careful reader would need it to confirm the sentence: it says or shows \
what the sentence claims. That it has the same topic is not enough, and what you know from \
elsewhere is no evidence.
- Where a sentence rests on several pieces, name every one of them. Where it rests on none, give \
an empty list; that is a good answer.
- A question, a request or a list of choices tells the model what to do. It is evidence only for \
a sentence that speaks about that very request.
- Take each sentence by itself. Evidence for the sentence before it does not carry over.
"""

KEYS = {
    "text": "the numbers of the texts that bear the sentence out",
    "image": "the numbers of the images that show what it claims",
    "audio": "the stretches of sound in which it is heard",
    "video": "the stretches of film in which it is seen or heard",
}

STRETCHES = """\
A stretch is {form}, in whole seconds, 0 <= start < end, and ends within its recording. Name the \
shortest stretches that hold the evidence, rather a few short ones than one long one; all of a \
recording only if nothing less will do.
"""

FORM = """\
Answer with one JSON array and nothing around it: no explanation, no code fence. It holds exactly \
{count} objects, one for each sentence, in order. Every object has exactly these keys:
{keys}
Numbers are integers in ascending order, each once; stretches are in order and do not overlap.
An array for two sentences might begin like this: {example}
"""

RETRY = """\
That answer cannot be used: {violation}. Answer again, for all {count} sentences, with the JSON \
array alone.
"""


def modalities_of(trace: Trace, text_only: bool = False) -> tuple[str, ...]:
    """The modalities of the prompt, in the order of `MODALITIES`; `text_only`: text at most."""
    has = {"text"} if prompt_sentences(trace)[1] else set[str]()
    if not text_only:
        has |= {medium.kind for medium in trace.media}
    return tuple(name for name in MODALITIES if name in has)


def messages(trace: Trace, media: Mapping[int, Sequence[Part]], text_only: bool) -> list[Message]:
    """The chat about one trace; `media`: the parts that show each medium, by its index."""
    names = modalities_of(trace, text_only)
    content = [_text(_texts(trace))]
    for index, medium in enumerate(trace.media):
        number = media_of(trace, f"{medium.kind}_source").index(index)
        length = "" if medium.kind == "image" else f", {last_second(trace, index)} s long"
        hidden = f" ({json.dumps(medium.name)}, not shown)" if text_only else ""
        content += [_text(f"{medium.kind.capitalize()} {number}{length}{hidden}:")]
        content += media.get(index, ())
    content.append(_text(_sentences(trace)))
    content.append(_text(_form(trace, names)))
    return [{"role": "system", "content": JOB}, {"role": "user", "content": content}]


def retry_messages(trace: Trace, answer: str, violation: str) -> list[Message]:
    """The messages after an answer that is not legal: the answer, and what is wrong with it."""
    request = RETRY.format(violation=violation, count=len(trace.sentences))
    return [{"role": "assistant", "content": answer}, {"role": "user", "content": request}]


def _texts(trace: Trace) -> str:
    lines = [f"[{i}] {_quoted(text)}" for i, text in enumerate(prompt_sentences(trace)[1])]
    return "\n".join(["Texts that the model was given, by number:", *lines])


def _sentences(trace: Trace) -> str:
    lines = [f"[{i}] {_quoted(text)}" for i, text in enumerate(sentences_of(trace))]
    return "\n".join(["Sentences of the model's response, by number:", *lines])


def _form(trace: Trace, names: Sequence[str]) -> str:
    keys = "\n".join(f'- "{name}_source": {KEYS[name]}.' for name in names)
    timed = [name for name in names if name in ("audio", "video")]
    several = [name for name in timed if len(media_of(trace, f"{name}_source")) > 1]
    stretches = STRETCHES.format(form=_stretch_form(timed, several)) if timed else ""
    example = [{f"{name}_source": _example(name, several) for name in names}]
    made = FORM.format(
        count=len(trace.sentences), keys=keys, example=json.dumps(example)[:-1] + ", …]"
    )
    return stretches + made


def _stretch_form(timed: Sequence[str], several: Sequence[str]) -> str:
    numbered = " and ".join(f"{name}_source" for name in several)
    plain = " and ".join(f"{name}_source" for name in timed if name not in several)
    forms = [f"[start, end] in {plain}"] if plain else []
    forms += [f"[number of the recording, start, end] in {numbered}"] if numbered else []
    return " and ".join(forms)


def _example(name: str, several: Sequence[str]) -> list[Any]:
    if name in ("text", "image"):
        return [0]
    return [[0, 0, 1]] if name in several else [[0, 1]]


def _quoted(text: str) -> str:
    """A text as a JSON string, so that its end is known whatever it holds."""
    return json.dumps(text, ensure_ascii=False)


def _text(text: str) -> Part:
    return {"type": "text", "text": text}


def characters(chat: Sequence[Message]) -> int:
    """How many characters of text are in a chat, without attached media."""
    total = 0
    for message in chat:
        content = message["content"]
        texts = [content] if isinstance(content, str) else [p.get("text", "") for p in content]
        total += sum(map(len, texts))
    return total
