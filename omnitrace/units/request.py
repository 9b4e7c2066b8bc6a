"""The request: the tokens of a prompt that say what the model is to do.

Knows the recorded sentences of the last user message, and how questions and instructions are
written; no units and no media.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import takewhile

import numpy as np

from omnitrace.arrays import Bool
from omnitrace.prompt import Prompt
from omnitrace.sentences import containing
from omnitrace.units.text import messages, places, text_tokens

_VERBS = (
    "analy[sz]e|answer|assess|calculate|categori[sz]e|check|choose|cite|classify|compare|complete|"
    "compute|convert|count|define|describe|determine|discuss|estimate|evaluate|explain|extract|"
    "find|generate|give|identify|infer|judge|justify|keep|label|limit|list|locate|mention|name|"
    "outline|output|paraphrase|pick|predict|provide|quote|rank|rate|read|reply|rephrase|report|"
    "respond|return|rewrite|say|select|show|solve|sort|state|suggest|sum|summari[sz]e|tell|think|"
    "transcribe|translate|use|write"
)
_LABEL = r"(?:question|q|task|instructions?|query|request)\s*\d*\s*:"
_BEFORE = (
    r"[\s>#*_\-•\"'“(\[]*(?:\d{1,2}[.)]\s*)?(?:(?:question|q|task|instructions?)\s*\d*\s*:[\s*_]*)?"
    r"(?:(?:based on|according to|in|using|with|from|given)\b[^.?!,]{1,80},\s*)?"
    r"(?:(?:can|could|would|will) you\s+|i(?:['’]d like| would like| want| need) you to\s+|"
    r"your task is to\s+|(?:and|now|then|also|finally),?\s+)?(?:please,?\s+)?"
)
"""What may stand before the verb: list and Markdown marks, a label, a clause, a polite form."""
_QUESTION = re.compile(r"[?？؟՞፧⁇⁈‽][\"'”’»)\]*_!\s]*$")
_INSTRUCTION = re.compile(
    rf"{_BEFORE}(?:{_VERBS})\b(?!\s+of\b)|[\s*_#]*{_LABEL}|\s*请",
    re.IGNORECASE,
)
_FORM = re.compile(
    rf"{_BEFORE}(?:answer|be|choose|do not|don['’]t|explain (?:why|how|your)|"
    r"give (?:only|just|your)|justify|keep|limit|output|pick|reply|respond|return|"
    r"say (?:only|why)|select|think|use|write (?:only|your))\b(?!\s+of\b)",
    re.IGNORECASE,
)
"""Instructions about the form of an answer, which seldom stand alone."""
_MARKED = re.compile(rf"[\s*_#]*(?:{_LABEL}|\(?\d{{1,2}}[.)])", re.IGNORECASE)
_TITLE = re.compile(rf"[\s*_#]*{_LABEL}[\s*_]*", re.IGNORECASE)
"""A label that is alone in its line."""
_CUE = re.compile(
    r"[\s*_#]*(?:(?:answer|response|options?|choices|output|a)\s*:|thanks|thank you)[\s*_!.]*",
    re.IGNORECASE,
)
_OPTION = re.compile(r"\s*[*_]*(?:\(?[A-Za-z][).:]|\(?\d{1,2}[).]|[-*•])(?=\s)")
_LETTERED = re.compile(r"\s*[*_]*\(?[A-H][).:](?=\s)")
_INTRODUCES = re.compile(r":\s*$|\b(?:following|below)\b", re.IGNORECASE)
_ABOUT_QUESTION = re.compile(r"\bquestions?\b", re.IGNORECASE)
_LINE = re.compile(r"[\n\r\u2028\u2029]")


class _Kind(Enum):
    """What a sentence is; `FORM`: an instruction about the form of the answer; `CUE`: a word that
    announces the answer or the options, or closes."""

    QUESTION = "question"
    INSTRUCTION = "instruction"
    FORM = "form"
    CUE = "cue"
    OPTION = "option"
    OTHER = "other"


_TASK = (_Kind.QUESTION, _Kind.INSTRUCTION)
_FORMS = (_Kind.INSTRUCTION, _Kind.FORM)
_ASKING = (*_TASK, _Kind.FORM)


@dataclass(frozen=True)
class _Sentence:
    """A sentence by its index in the prompt, with the number of its paragraph in the message."""

    index: int
    text: str
    kind: _Kind
    paragraph: int


_Block = Sequence[_Sentence]
"""The sentences that begin in one line of one part."""


def request_tokens(prompt: Prompt) -> Bool:
    """(n,): the text tokens of the request, which is the last question or instruction of the last
    user message.

    Looked for from the end: the last sentences that ask, and the lines of their paragraph that only
    ask. Behind and between them may stand options, which are not the request, and words about the
    form of the answer, which are. Where the end does not ask, the beginning may; where both do, an
    instruction about what follows and a question that is repeated are the request as well. A
    sentence asks if it ends in a question mark of any script or begins with a label ("Question:")
    or, after polite words, with a verb that tells the model what to do (English).
    """
    line, last = prompt.timeline, _last_message(prompt)
    own = text_tokens(prompt) & np.isin(line.part, last)
    sentence = containing(places(prompt), prompt.prompt_sentences)
    numbers, first = np.unique(sentence[own], return_index=True)
    known = numbers >= 0
    blocks = _blocks(prompt, numbers[known].tolist(), line.part[own][first[known]].tolist())
    chosen = [one.index for one in _request(blocks)]
    tokens: Bool = own & np.isin(sentence, np.array(chosen, np.int32))
    return tokens


def _last_message(prompt: Prompt) -> list[int]:
    """The text parts of the last user message."""
    users = [index for index, part in enumerate(prompt.parts) if part.role == "user"]
    message = messages(prompt)
    return [i for i in users if message[i] == message[users[-1]] and prompt.parts[i].kind == "text"]


def _blocks(prompt: Prompt, numbers: Sequence[int], parts: Sequence[int]) -> Sequence[_Block]:
    """The sentences `numbers`, each in the part beside it, by lines."""
    blocks: list[list[_Sentence]] = []
    before, end, is_option, paragraph = -1, 0, False, -1
    for number, part in zip(numbers, parts, strict=True):
        start, after = prompt.prompt_sentences[number].tolist()
        text = prompt.prompt_text[start:after]
        between = _LINE.findall(prompt.prompt_text[end:start])
        if part != before or between:
            blocks.append([])
            is_option = bool(_OPTION.match(text))
            paragraph += part != before or len(between) > 1
        blocks[-1].append(_Sentence(number, text, _kind(text, is_option), paragraph))
        before, end = part, after
    return blocks


def _kind(text: str, in_option: bool) -> _Kind:
    """`in_option`: whether the sentence's line begins as an option or another item of a list."""
    if _LETTERED.match(text):
        return _Kind.OPTION
    if _CUE.fullmatch(text):
        return _Kind.CUE
    if _QUESTION.search(text):
        return _Kind.QUESTION
    if _FORM.match(text):
        return _Kind.FORM
    if _INSTRUCTION.match(text):
        return _Kind.INSTRUCTION
    return _Kind.OPTION if in_option or _OPTION.match(text) else _Kind.OTHER


def _request(blocks: Sequence[_Block]) -> list[_Sentence]:
    tail, head = list(_tail(blocks)), _head(blocks)
    announced = [one for one in head if _INTRODUCES.search(one.text)]
    asked = any(_ABOUT_QUESTION.search(one.text) for one in head)
    whole = len(head) + len(tail) == sum(map(len, blocks))
    if announced and not asked and (whole or _inside(blocks, tail)):
        tail = []  # the end of the text that the instruction is about, or all of it
    elif any(one.kind in _TASK for one in tail):
        same = {one.text for one in tail}
        known = _FORMS if announced or asked else ()
        head = [one for one in head if one.kind in known or one.text in same]
    elif not head and len(blocks) > 1:
        head = [one for one in _run(_last_of_first(blocks)) if one.kind is _Kind.INSTRUCTION]
    found = {one.index for one in tail}
    return [*(one for one in head if one.index not in found), *tail]


def _tail(blocks: Sequence[_Block]) -> Iterator[_Sentence]:
    """The sentences at the end that ask, the last first.

    Once a question or instruction is found, only lines of the same paragraph, or with a number or
    label as it has, are further ones.
    """
    has_task, after = False, None
    for block in reversed(blocks):
        marked = bool(_MARKED.match(block[0].text))
        if has_task and after is not None:
            together = block[0].paragraph == after.paragraph or marked
            asks = all(one.kind in _ASKING for one in block)
            if not (asks and together and marked == bool(_MARKED.match(after.text))):
                yield from (one for one in block if _TITLE.fullmatch(one.text))
                return
        run = _run(block)
        yield from (one for one in run if one.kind is not _Kind.OPTION)
        if len(run) < len(block):
            return
        has_task, after = has_task or any(one.kind in _TASK for one in run), block[0]


def _run(block: _Block) -> list[_Sentence]:
    """The last sentences of a block, the last first, up to one that is none of a request."""
    return list(takewhile(lambda one: one.kind is not _Kind.OTHER, reversed(block)))


def _last_of_first(blocks: Sequence[_Block]) -> _Block:
    """The last line of the first paragraph; of a message of one paragraph, its first line."""
    first = [block for block in blocks if block[0].paragraph == 0]
    return first[0 if len(first) == len(blocks) else -1]


def _head(blocks: Sequence[_Block]) -> list[_Sentence]:
    """The first sentences that ask."""
    return list(takewhile(lambda one: one.kind in _ASKING, blocks[0])) if blocks else []


def _inside(blocks: Sequence[_Block], tail: Sequence[_Sentence]) -> bool:
    """Whether the tail is there and begins within a line."""
    return bool(tail) and all(block[0].index != tail[-1].index for block in blocks)
