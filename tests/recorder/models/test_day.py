"""The day that chat templates print: it is told, not read from the clock while a prompt is made."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import transformers

from recorder.models import day as module
from recorder.models.adapter import describe_model
from recorder.models.day import FUNCTION, fixed_day, prints_day
from recorder.models.loading import load_processor
from recorder.models.settings import Settings
from tests.recorder.families.models import FAMILIES, checkpoint, load, plain, sample
from tests.recorder.gguf_files import write_gguf
from tests.recorder.toys import TOYS, hf

library: Any = transformers
PRINTS = "{{ strftime_now('%Y-%m-%d') }}"
ADAPTERS = ["smollm", "qwen2_5_vl", "qwen2_5_omni", "minicpm_o"]
"""A tokenizer, a processor, and the adapters that call templates themselves."""


class Midnight(datetime):
    """A clock that a day passes on each time it is read, from 2026-01-01 on."""

    reads = 0

    @classmethod
    def now(cls, tz: Any = None) -> Midnight:
        cls.reads += 1
        return cls(2026, 1, 1, 23, 59) + timedelta(days=cls.reads - 1)


@pytest.fixture
def midnight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Midnight, "reads", 0)
    monkeypatch.setattr(library.utils.chat_template_utils, "datetime", Midnight)
    monkeypatch.setattr(module, "datetime", Midnight)


def printing(family: str) -> str:
    """The chat template of a family's toy with the day before it."""
    return PRINTS + str(getattr(plain(family), "processor").chat_template)  # noqa: B009


@pytest.mark.parametrize("family", ADAPTERS)
def test_prompts_are_told_the_day(family: str, midnight: None) -> None:
    settings = Settings(chat_template=printing(family), date="2031-05-06")
    adapter: Any = load(family, settings)
    prompt = adapter.prepare(sample("Who owns the lamp?")).prompt
    assert "2031-05-06" in adapter.decode(prompt.prompt_ids.tolist())
    assert prompt.prompt_text == "Who owns the lamp?"
    chat = [{"role": "user", "content": "Who?"}]
    assert "2026-01-01" in adapter.tokenizer.apply_chat_template(chat, tokenize=False)


def test_a_prompt_is_of_one_day_though_midnight_passes(midnight: None) -> None:
    adapter: Any = load("smollm", Settings(chat_template=printing("smollm")))
    texts = ("Who owns the lamp?", " Was it bought on 2026-01-02?")
    prompts = [adapter.prepare(sample(*texts)).prompt for _ in range(2)]
    for prompt, day in zip(prompts, ("2026-01-01", "2026-01-02"), strict=True):
        assert adapter.decode(prompt.prompt_ids.tolist()).startswith(day)
        assert prompt.prompt_text == "".join(texts)
    assert Midnight.reads == 2


def test_named_templates_are_told_the_day() -> None:
    tokens = hf.AutoTokenizer.from_pretrained(checkpoint("smollm"))
    tokens.chat_template = {"default": PRINTS, "tool_use": "tools " + PRINTS}
    chat = [{"role": "user", "content": "Who?"}]
    with fixed_day(tokens, "2031-05-06"):
        assert tokens.apply_chat_template(chat, tokenize=False) == "2031-05-06"
        tools = [{"type": "function", "function": {"name": "a"}}]
        assert tokens.apply_chat_template(chat, tools=tools, tokenize=False) == "tools 2031-05-06"


@pytest.mark.parametrize("family", [f for f in FAMILIES if f != "minicpm_o"])
def test_which_templates_print_it_is_known_from_files(family: str) -> None:
    spec = describe_model(str(checkpoint(family)))
    prints = prints_day(spec, Settings())
    assert prints == (family in {"gpt_oss", "granite", "granite_speech"})
    if family != "voxtral":
        assert prints == (FUNCTION in load_processor(spec, Settings()).chat_template)


@pytest.mark.parametrize("named", [False, True])
def test_templates_in_the_tokenizers_configuration(named: bool, tmp_path: Path) -> None:
    TOYS["smollm"].save(tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    file = tmp_path / "tokenizer_config.json"
    spec = describe_model(str(tmp_path))
    for source, prints in ((PRINTS, True), ("{{ messages }}", False)):
        template = [{"name": "default", "template": source}] if named else source
        file.write_text(json.dumps(json.loads(file.read_text()) | {"chat_template": template}))
        assert prints_day(spec, Settings()) is prints
    assert prints_day(spec, Settings(chat_template=PRINTS))
    file.write_text("{")
    assert not prints_day(spec, Settings())


def test_templates_of_gguf_files(tmp_path: Path) -> None:
    for family, prints in (("granite", True), ("smollm", False)):
        tokens = hf.AutoTokenizer.from_pretrained(checkpoint("smollm"))
        tokens.chat_template = hf.AutoTokenizer.from_pretrained(checkpoint(family)).chat_template
        model = hf.AutoModelForCausalLM.from_pretrained(checkpoint("smollm"))
        file = write_gguf(tmp_path / f"{family}.gguf", tokens, model=model)
        assert prints_day(describe_model(str(file)), Settings()) is prints
