"""Where the thinking of a response is, as it is recorded: by its markers or by the prompt's end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from omnitrace.trace import Trace
from recorder.config import RecordConfig
from recorder.inputs.responses import Response
from recorder.inputs.samples import Sample
from recorder.models.qwen_omni import QwenOmni
from recorder.tags import load_tagger
from recorder.tracer import Tracer, generation_prompt

MakeSample = Callable[..., Sample]
QUESTION = "Anna owns the lamp. Who owns it, <think> again?"


@pytest.fixture
def recorded(adapter: QwenOmni, make_sample: MakeSample) -> Callable[[str], Trace]:
    """Records a given response."""
    tracer = Tracer(adapter, load_tagger(None), RecordConfig())

    def record(response: str) -> Trace:
        task = tracer.prepare(make_sample("image:photo.png", QUESTION), Response(response))
        [trace] = tracer.traces([task])
        return trace

    return record


def test_the_generation_prompt_is_what_follows_all_content(
    adapter: QwenOmni, make_sample: MakeSample
) -> None:
    prepared = adapter.prepare(make_sample("image:photo.png", QUESTION))
    end = adapter.decode(generation_prompt(prepared.prompt))
    assert end == "<|im_end|>\n<|im_start|>assistant\n"


def test_markers_are_recorded_where_there_are_some(recorded: Callable[[str], Trace]) -> None:
    trace = recorded("<think>The lamp.</think>Anna.")
    assert trace.meta["thinking"] == [0, 24]
    assert trace.thinking == (0, 24)
    assert "thinking" not in recorded("Anna, said <think>.").meta


@pytest.mark.parametrize(
    ("opened", "thinking"),
    [("<think>\n", [0, 17]), ("<think>\n\n</think>\n\n", None)],
)
def test_thinking_that_the_prompt_opens(
    adapter: QwenOmni,
    recorded: Callable[[str], Trace],
    monkeypatch: pytest.MonkeyPatch,
    opened: str,
    thinking: list[int] | None,
) -> None:
    template = f"{adapter.processor.chat_template}{{{{ {opened!r} }}}}"
    monkeypatch.setattr(adapter.processor, "chat_template", template)
    assert recorded("The lamp.</think>Anna.").meta.get("thinking") == thinking
