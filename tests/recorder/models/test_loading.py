"""Checkpoints as people have them: adapters on a base, templates of their own, the hub's cache."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch

from omnitrace import CommandError, OmniTraceError, open_run
from omnitrace.baseline import BaselineConfig
from omnitrace.trace import Trace
from recorder import fingerprint
from recorder.ablation.ablate import ablate_inputs
from recorder.config import TINY_OMNI, AblateConfig, RecordConfig
from recorder.identity import reload_model
from recorder.inputs.samples import Sample
from recorder.models.adapter import describe_model, load_adapter
from recorder.models.settings import Settings, Weights
from recorder.record import record
from tests.recorder.conftest import user, write_rows
from tests.recorder.toys import TOYS, hf

CPU = Weights("float32", "cpu")
ASK = "The parcel weighs seven kilos. What does the parcel weigh?"
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ m['role'] }}: "
    "{% if m['content'] is string %}{{ m['content'] }}"
    "{% else %}{% for part in m['content'] %}{{ part['text'] }}{% endfor %}{% endif %}{{ '\n' }}"
    "{% endfor %}{{ word | default('answer') }}:"
)
# PEFT on a transformers that is newer than it.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "base"
    folder.mkdir()
    TOYS["llama3"](folder)
    return folder


def with_adapter(base: Path, folder: Path, **settings: Any) -> Any:
    """A LoRA of random weights on `base`, saved to `folder`; the model with it."""
    torch.manual_seed(0)
    given = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj", "down_proj"]}
    config: Any = peft.LoraConfig(**{**given, **settings}, init_lora_weights=False)
    made: Any = peft.get_peft_model(hf.AutoModelForCausalLM.from_pretrained(base), config)
    made.save_pretrained(folder)
    return made


def rename_base(folder: Path, base: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "base_model_name_or_path": base}))


def recorded(folder: Path, config: RecordConfig, **row: Any) -> Trace:
    rows = [{"id": "a", "messages": [user(ASK)], **row}]
    summary = record(write_rows(folder, rows), folder / "run", config)
    assert summary.failed == {}
    return open_run(folder / "run")["a"]


def test_an_adapter_is_recorded_as_the_checkpoint_merged_by_hand(
    base: Path, tmp_path: Path
) -> None:
    lora, merged = tmp_path / "lora", tmp_path / "merged"
    with_adapter(base, lora).merge_and_unload().save_pretrained(merged)
    hf.AutoTokenizer.from_pretrained(base).save_pretrained(merged)
    rename_base(lora, str(base))
    traces = []
    for name in ("lora", "merged", "base"):
        place = tmp_path / f"of-{name}"
        place.mkdir()
        model = str(base if name == "base" else tmp_path / name)
        traces.append(recorded(place, RecordConfig(model, max_new_tokens=4, dtype="float32")))
    ours, by_hand, plain = traces
    assert ours.response_ids.tolist() == by_hand.response_ids.tolist()
    for name, rows in by_hand.signals.items():
        np.testing.assert_allclose(ours.signals[name].values, rows.values, atol=1e-6, rtol=0)
    assert not np.allclose(
        ours.signals["attmean"].values[:20], plain.signals["attmean"].values[:20], atol=1e-4
    )
    identity = open_run(tmp_path / "of-lora" / "run").identity
    assert (identity["model"], identity["base"]) == ("lora", "base")
    assert identity["revision"] == f"sha256:{fingerprint.of_folder(lora)}"
    assert identity["base_revision"] == f"sha256:{fingerprint.of_folder(base)}"


def test_an_adapter_that_does_not_fit(base: Path, tmp_path: Path) -> None:
    with_adapter(base, tmp_path / "lora")
    other = tmp_path / "other"
    other.mkdir()
    TOYS["phi3"](other)
    rename_base(tmp_path / "lora", str(other))
    with pytest.raises(CommandError, match=r"does not fit its base model: .*q_proj.* more tensors"):
        load_adapter(describe_model(str(tmp_path / "lora")), CPU)


def test_an_adapter_of_more_layers_than_its_base(base: Path, tmp_path: Path) -> None:
    with_adapter(base, tmp_path / "lora")
    path = tmp_path / "lora" / "adapter_config.json"
    wanted = {**json.loads(path.read_text()), "target_modules": ["q_proj", "o_proj"]}
    path.write_text(json.dumps(wanted))
    rename_base(tmp_path / "lora", str(base))
    with pytest.raises(CommandError, match="does not fit its base model: Found missing adapter"):
        load_adapter(describe_model(str(tmp_path / "lora")), CPU)


def test_an_adapter_is_not_merged_into_rounded_weights(base: Path, tmp_path: Path) -> None:
    with_adapter(base, tmp_path / "lora")
    rename_base(tmp_path / "lora", str(base))
    with pytest.raises(CommandError, match="leave out --quantize"):
        load_adapter(
            describe_model(str(tmp_path / "lora")), Weights("auto", "cpu", quantize="8bit")
        )


def test_an_adapter_with_more_tokens_and_a_template_of_its_own(base: Path, tmp_path: Path) -> None:
    lora = tmp_path / "lora"
    model = hf.AutoModelForCausalLM.from_pretrained(base)
    tokens = hf.AutoTokenizer.from_pretrained(base)
    tokens.add_tokens(["<mine>"], special_tokens=True)
    tokens.chat_template = TEMPLATE
    rows = len(tokens)
    model.resize_token_embeddings(rows)
    torch.manual_seed(0)
    config: Any = peft.LoraConfig(
        target_modules=["q_proj"], modules_to_save=["embed_tokens", "lm_head"]
    )
    made: Any = peft.get_peft_model(model, config)
    made.save_pretrained(lora, save_embedding_layers=False)
    tokens.save_pretrained(lora)
    rename_base(lora, str(base))
    adapter: Any = load_adapter(describe_model(str(lora)), CPU)
    assert adapter.model.get_input_embeddings().weight.shape[0] == rows
    assert adapter.processor.chat_template == TEMPLATE
    assert adapter.encode("<mine>") == [rows - 1]
    assert not any("lora" in name for name, _ in adapter.model.named_modules())


def test_an_adapter_on_a_model_of_images_keeps_its_processor(tmp_path: Path) -> None:
    base, lora = tmp_path / "base", tmp_path / "lora"
    base.mkdir()
    TOYS["gemma3"](base)
    auto = hf.AutoModelForImageTextToText.from_pretrained(base)
    config: Any = peft.LoraConfig(target_modules=r".*language_model.*\.q_proj")
    made: Any = peft.get_peft_model(auto, config)
    made.save_pretrained(lora)
    hf.AutoTokenizer.from_pretrained(base).save_pretrained(lora)
    (lora / "chat_template.jinja").write_text(TEMPLATE)
    rename_base(lora, "../base")
    adapter: Any = load_adapter(describe_model(str(lora)), CPU)
    assert set(adapter.takes) == {"image"}
    assert adapter.processor.chat_template == TEMPLATE


def prompt(folder: Path, settings: Settings, make_sample: Callable[..., Sample]) -> str:
    adapter: Any = load_adapter(describe_model(str(folder)), CPU, settings)
    text: str = adapter.decode(adapter.prepare(make_sample("Who?")).prompt.prompt_ids.tolist())
    return text


def test_templates_of_a_finetune_and_of_the_user(
    base: Path, tmp_path: Path, make_sample: Callable[..., Sample]
) -> None:
    folder = tmp_path / "finetune"
    shutil.copytree(base, folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    bos = "<|begin_of_text|>"
    assert prompt(folder, Settings(), make_sample) == f"{bos}user: Who?\nanswer:"
    word = Settings(template_args={"word": "now"})
    assert prompt(folder, word, make_sample) == f"{bos}user: Who?\nnow:"
    given = Settings(chat_template=TEMPLATE.replace("role", "content"))
    assert prompt(folder, given, make_sample) == f"{bos}Who?: Who?\nanswer:"


def test_a_template_that_is_none(base: Path, tmp_path: Path) -> None:
    spec = describe_model(str(base))
    with pytest.raises(CommandError, match="is no Jinja template: line 2"):
        load_adapter(spec, CPU, Settings(chat_template="\n{% for %}"))
    folder = tmp_path / "plain"
    shutil.copytree(base, folder)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(CommandError, match=r"has no chat template.*--chat-template"):
        load_adapter(describe_model(str(folder)), CPU)


def test_what_a_run_was_told_is_told_again(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "own.jinja"
    path.write_text(TEMPLATE)
    args = '{"word": "now"}'
    config = RecordConfig(
        str(base), chat_template=str(path), template_args=args, tokenizer=str(base),
        max_new_tokens=3, dtype="float32",
    )  # fmt: skip
    recorded(tmp_path, config)
    run, samples = tmp_path / "run", str(tmp_path / "samples.jsonl")
    identity = open_run(run).identity
    assert identity["template_args"] == {"word": "now"}
    same: dict[str, Any] = {"model": str(base), "chat_template": str(path), "tokenizer": str(base)}
    asked = AblateConfig(samples, masks=3, **same)
    assert ablate_inputs(run, asked).failed == {}
    with pytest.raises(CommandError, match=r"with the chat_template sha256.*this is None"):
        ablate_inputs(
            run, AblateConfig(samples, name="b", masks=3, **(same | {"chat_template": ""}))
        )
    again: Any = reload_model(identity, BaselineConfig(dtype="float32", **same))
    assert again.settings.template_args == {"word": "now"}
    assert again.processor.chat_template == TEMPLATE
    recorded(tmp_path, config)
    with pytest.raises(OmniTraceError, match=r"template_args\.word is 'now' there"):
        recorded(tmp_path, RecordConfig(**{**vars(config), "template_args": ""}))


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}, "encoder-decoder"),
        ({"model_type": "mllama"}, "by cross-attention, so that they have no tokens"),
        ({"model_type": "idefics"}, "by cross-attention, so that they have no tokens"),
        (
            {"model_type": "llama", "architectures": ["LlamaForSequenceClassification"]},
            "no answers",
        ),
        ({"model_type": "clip"}, "generates text"),
    ],
)
def test_models_out_of_reach_are_told_from_their_configuration(
    config: dict[str, Any], why: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CommandError, match=why):
        load_adapter(describe_model(str(tmp_path)), CPU)


def test_the_commit_of_a_model_of_the_hub_is_that_of_its_cache(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants as hub

    commit = "0123456789abcdef0123456789abcdef01234567"
    cache = tmp_path / "models--some--model"
    shutil.copytree(base, cache / "snapshots" / commit)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(commit)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hf.utils.hub, "TRANSFORMERS_CACHE", str(tmp_path), raising=False)
    spec = describe_model("some/model")
    assert spec.identity["model"] == "some/model"
    assert spec.identity["revision"] == commit
    assert spec.source["revision"] == spec.processor["revision"] == commit
    assert load_adapter(spec, CPU).layers == 4


def test_models_with_adapters_of_their_own_are_merged_too(tmp_path: Path) -> None:
    auto = hf.Qwen2_5OmniThinkerForConditionalGeneration
    plain = auto.from_pretrained(TINY_OMNI)
    config: Any = peft.LoraConfig(target_modules=["q_proj"], init_lora_weights=False)
    made: Any = peft.get_peft_model(plain, config)
    made.save_pretrained(tmp_path)
    rename_base(tmp_path, str(TINY_OMNI))
    settings = Settings(chat_template=TEMPLATE)
    adapter: Any = load_adapter(describe_model(str(tmp_path)), CPU, settings)
    merged = made.merge_and_unload().state_dict()
    for name, value in adapter.model.state_dict().items():
        torch.testing.assert_close(value, merged[name])
    assert adapter.processor.chat_template == adapter.tokenizer.chat_template == TEMPLATE
