"""Every family of models, at toy size: rows, gradients, tokens and the meaning of prompt tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.timeline import Modality
from recorder.inputs.samples import Sample
from recorder.models.adapter import Adapter, describe_model, load_adapter
from recorder.models.weights import Weights
from recorder.passes import capture
from recorder.passes.capture import confirm, install
from recorder.passes.draw import Options
from recorder.passes.generate import force, generate
from recorder.passes.masked import Masked
from recorder.signals import GRADIENT_SIGNALS
from tests.recorder.answers import EVERYTHING, answer_one
from tests.recorder.passes.test_batch import assert_same
from tests.recorder.passes.test_capture import rows_of
from tests.recorder.toys import TOYS, hf, sizes, tokenizer

STEPS = 5
FACT = "The parcel weighs seven kilos. What does the parcel weigh?"
PROMPTS: dict[str, list[tuple[str, ...]]] = {
    "llama": [(FACT,)],
    "mistral": [(FACT,)],
    "qwen3": [(FACT,)],
    "qwen2_5_vl": [
        (FACT,),
        ("Look:", "image:photo.png", " and ", "image:tall.jpg", "What do they show?"),
        ("video:silent.mp4", "What moves in the first film?"),
    ],
    "llava": [("image:photo.png", "What does it show?"), ("image:tall.jpg", FACT)],
    "qwen3_omni": [
        (FACT,),
        ("image:photo.png", "audio:speech.wav", "What is it?"),
        ("video:film.mp4", "What moves in the first film?"),
    ],
    "minicpm_o": [
        (FACT,),
        ("image:photo.png", "audio:speech.wav", "What is it?"),
        ("video:film.mp4", "What moves in the first film?"),
    ],
}
OWN_CODE = {"minicpm_o"}
CASES = [(family, number) for family, prompts in PROMPTS.items() for number in range(len(prompts))]


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Adapter]:
    """A family's toy, read from its folder anew."""
    folders: dict[str, Path] = {}

    def loaded(family: str) -> Adapter:
        if family not in folders:
            folders[family] = tmp_path_factory.mktemp(family)
            TOYS[family](folders[family])
        spec = describe_model(str(folders[family]), trusted=family in OWN_CODE)
        return load_adapter(spec, Weights("float32", "cpu"))

    return loaded


@pytest.fixture(scope="module")
def watched(load: Callable[[str], Adapter]) -> Callable[[str], Adapter]:
    """A family's toy, ready to record."""
    ready: dict[str, Adapter] = {}

    def get(family: str) -> Adapter:
        if family not in ready:
            adapter = ready[family] = load(family)
            install(adapter.model, adapter.decoder)
            confirm(adapter.model, adapter.layers)
        return ready[family]

    return get


@pytest.fixture(scope="module")
def eager(load: Callable[[str], Adapter]) -> Callable[[str], Any]:
    """A family's toy in eager attention, in the decoder alone."""
    ready: dict[str, Any] = {}

    def get(family: str) -> Any:
        if family not in ready:
            adapter = load(family)
            adapter.model.set_attn_implementation({adapter.decoder: "eager"})
            adapter.model.get_input_embeddings().weight.requires_grad_()
            ready[family] = adapter.model
        return ready[family]

    return get


def forward(model: Any, inputs: dict[str, Any], said: list[int]) -> Any:
    """One forward pass over the prompt and what was said before the last of `said`."""
    before = torch.tensor([said[:-1]], dtype=torch.long)
    given = dict(inputs) | {"input_ids": torch.cat([inputs["input_ids"], before], dim=1)}
    given["attention_mask"] = torch.ones_like(given["input_ids"])
    if "inputs_embeds" in given:
        more = model.get_input_embeddings()(before)
        given["inputs_embeds"] = torch.cat([given["inputs_embeds"], more], dim=1)
        del given["input_ids"]
    for name in ("token_type_ids", "mm_token_type_ids"):
        if name in given:
            more = torch.zeros_like(before)
            given[name] = torch.cat([given[name], more], dim=1)
    return model(**given, output_attentions=True, use_cache=False)


@pytest.mark.parametrize(("family", "number"), CASES)
def test_rows_and_gradients_equal_eager_forwards(
    family: str,
    number: int,
    watched: Callable[[str], Adapter],
    eager: Callable[[str], Any],
    make_sample: Callable[..., Sample],
) -> None:
    adapter = watched(family)
    prepared = adapter.prepare(make_sample(*PROMPTS[family][number]))
    answer = answer_one(adapter, prepared, Options(max_new_tokens=STEPS), EVERYTHING)
    n, said = len(prepared.ids), answer.ids.tolist()
    assert said
    rows = {name: rows_of(answer.signals[name], n, len(said)) for name in ("attmean", "rawatt")}
    reduced = {name: s for name, s in GRADIENT_SIGNALS.items() if not s.by_layer}
    rows |= {name: rows_of(answer.signals[name], n, len(said)) for name in reduced}
    for t in range(len(said)):
        out = forward(eager(family), dict(prepared.inputs), said[: t + 1])
        assert int(out.logits[0, -1].argmax()) == said[t]
        last = torch.stack([layer[0, :, -1] for layer in out.attentions]).detach()
        np.testing.assert_allclose(rows["attmean"][t], last.mean((0, 1)), atol=1e-6, rtol=0)
        np.testing.assert_allclose(rows["rawatt"][t], last[-1].mean(0), atol=1e-6, rtol=0)
        gradient = torch.autograd.grad(out.logits[0, -1, said[t]], out.attentions)
        pairs = zip(out.attentions, gradient, strict=True)
        signed = torch.stack([(a * g)[0, :, -1].mean(0) for a, g in pairs]).detach()
        bound = 1e-5 * float(signed.abs().max())
        assert bound > 0
        for name, signal in reduced.items():
            np.testing.assert_allclose(rows[name][t], signal.reduce(signed), atol=bound, rtol=0)


@pytest.mark.parametrize(("family", "number"), CASES)
def test_tokens_equal_plain_generation_and_given_ones(
    family: str,
    number: int,
    watched: Callable[[str], Adapter],
    load: Callable[[str], Adapter],
    make_sample: Callable[..., Sample],
) -> None:
    adapter, plain = watched(family), load(family).model
    prepared = adapter.prepare(make_sample(*PROMPTS[family][number]))
    answer = answer_one(adapter, prepared, Options(max_new_tokens=STEPS), EVERYTHING)
    tokens = plain.generate(**prepared.inputs, max_new_tokens=STEPS, do_sample=False)
    expected = tokens[0, len(prepared.ids) :].tolist()
    if answer.finish == "eos":
        assert expected.pop() in adapter.eos_ids
    assert answer.ids.tolist() == expected
    [given] = force(adapter, [prepared], [answer.ids], EVERYTHING)
    assert_same(answer, given)


@pytest.mark.parametrize("family", PROMPTS)
def test_a_batch_equals_its_samples_alone(
    family: str, watched: Callable[[str], Adapter], make_sample: Callable[..., Sample]
) -> None:
    adapter = watched(family)
    texts = [(FACT,), ("Who owns the lamp?",)]
    prompts = PROMPTS["llava"] if family == "llava" else texts
    prepared = [adapter.prepare(make_sample(*prompt)) for prompt in prompts]
    options = Options(max_new_tokens=STEPS)
    together = generate(adapter, prepared, options, EVERYTHING)
    for one, answer in zip(prepared, together, strict=True):
        assert_same(answer_one(adapter, one, options, EVERYTHING), answer)


def test_every_token_of_pictures_and_films_is_placed(
    watched: Callable[[str], Adapter], make_sample: Callable[..., Sample]
) -> None:
    adapter = watched("qwen2_5_vl")
    prepared = adapter.prepare(
        make_sample("Look:", "image:photo.png", "video:silent.mp4", "What moves?")
    )
    line = prepared.timeline
    image, film = (line.modality == kind for kind in (Modality.IMAGE, Modality.VIDEO))
    assert [part.kind for part in prepared.parts] == ["text", "image", "video", "text"]
    assert prepared.prompt_text == "Look:What moves?"
    places = set(zip(line.row[image].tolist(), line.column[image].tolist(), strict=True))
    assert len(places) == image.sum() == (line.row[image].max() + 1) * (line.column.max() + 1)
    assert set(line.medium[image]) == {0}
    assert set(line.medium[film]) == {1}
    assert sorted(set(line.start_s[film])) == [0.0, 1.0, 2.0, 3.0]
    assert line.end_s[film].max() <= (prepared.media[1].duration_s or 0) + 1e-9
    assert (prepared.ids[image] == adapter.model.config.image_token_id).all()


def test_a_picture_of_one_size_is_a_square_of_patches(
    watched: Callable[[str], Adapter], make_sample: Callable[..., Sample]
) -> None:
    prepared = watched("llava").prepare(make_sample("image:photo.png", "What?"))
    image = prepared.timeline.modality == Modality.IMAGE
    assert prepared.timeline.row[image].tolist() == np.repeat(np.arange(4), 4).tolist()
    assert prepared.timeline.column[image].tolist() == np.tile(np.arange(4), 4).tolist()


def test_the_sound_of_qwen3_omni_has_thirteen_tokens_a_second(
    watched: Callable[[str], Adapter], make_sample: Callable[..., Sample]
) -> None:
    prepared = watched("qwen3_omni").prepare(make_sample("video:film.mp4", "audio:speech.wav"))
    line = prepared.timeline
    heard = (line.modality == Modality.AUDIO) & (line.medium == 0)
    np.testing.assert_allclose(np.diff(line.start_s[heard]), 1 / 13, atol=1e-9)
    assert heard.sum() == pytest.approx(4 * 13, abs=1)
    seen = line.modality == Modality.VIDEO
    assert sorted(set(line.start_s[seen])) == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("family", "part"), [("llama", "image:photo.png"), ("llava", "audio:speech.wav")]
)
def test_media_that_the_model_does_not_take(
    family: str,
    part: str,
    watched: Callable[[str], Adapter],
    make_sample: Callable[..., Sample],
) -> None:
    with pytest.raises(OmniTraceError, match="the model's processor marks no"):
        watched(family).prepare(make_sample(part, "What?"))


def test_pictures_that_run_together(
    watched: Callable[[str], Adapter], make_sample: Callable[..., Sample]
) -> None:
    adapter: Any = watched("llava")
    adapter.processor.chat_template = adapter.processor.chat_template.replace(
        "<|vision_bos|><|IMAGE|><|vision_eos|>", "<|IMAGE|>"
    )
    sample = make_sample("image:photo.png", "image:tall.jpg", "What?")
    with pytest.raises(OmniTraceError, match="lays 2 media out as 1 runs"):
        adapter.prepare(sample)


def test_models_that_cannot_be_recorded(tmp_path: Path) -> None:
    tokens = tokenizer()
    tokens.chat_template = None
    hf.LlamaForCausalLM(hf.LlamaConfig(**sizes(tokens))).save_pretrained(tmp_path / "silent")
    tokens.save_pretrained(tmp_path / "silent")
    (tmp_path / "silent" / "chat_template.jinja").unlink(missing_ok=True)
    with pytest.raises(CommandError, match="no chat template"):
        load_adapter(describe_model(str(tmp_path / "silent")), Weights("float32", "cpu"))
    hf.T5Config(d_model=8, num_layers=1).save_pretrained(tmp_path / "t5")
    with pytest.raises(CommandError, match="encoder-decoder"):
        load_adapter(describe_model(str(tmp_path / "t5")), Weights("float32", "cpu"))


def test_attention_outside_the_interface_is_noticed() -> None:
    torch.manual_seed(0)
    model = hf.LlamaForCausalLM(hf.LlamaConfig(**sizes(tokenizer())))
    install(model, "")
    layer = model.model.layers[2].self_attn
    layer.forward = lambda hidden_states, **_: (hidden_states, None)
    with pytest.raises(CommandError, match="only 3 of the model's 4 layers"):
        confirm(model, 4)


def flash_double(
    module: Any, query: Any, key: Any, value: Any, mask: Any, scaling: float, **given: Any
) -> Any:
    """Attends as flash attention is asked to: (batch, keys) masks, windows in words."""
    assert module.config._attn_implementation == "flash_attention_2"
    keys = torch.arange(key.shape[2])
    last = keys[key.shape[2] - query.shape[2] :, None]
    allowed = (keys <= last) & (keys > last - (given.get("sliding_window") or 1 << 30))
    if mask is not None:
        assert mask.dim() == 2
        allowed = allowed & mask[:, None, None].bool() | (keys == last)
    repeat = query.shape[1] // key.shape[1]
    k, v = (x.repeat_interleave(repeat, dim=1) for x in (key, value))
    out = torch.nn.functional.scaled_dot_product_attention(
        query, k, v, attn_mask=allowed, scale=scaling
    )
    return out.transpose(1, 2).contiguous(), None


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2_5_vl"])
def test_flash_attention_is_watched_as_sdpa_is(
    family: str,
    load: Callable[[str], Adapter],
    watched: Callable[[str], Adapter],
    make_sample: Callable[..., Sample],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(capture, "flash_is_there", lambda: True)
    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS, "flash_attention_2", flash_double)
    adapter = load(family)
    install(adapter.model, adapter.decoder, "flash_attention_2")
    confirm(adapter.model, adapter.layers)
    prompts = [(FACT,), ("Who owns the lamp?",)]
    flash, sdpa = (
        generate(
            one,
            [one.prepare(make_sample(*prompt)) for prompt in prompts],
            Options(max_new_tokens=STEPS),
            EVERYTHING,
        )
        for one in (adapter, watched(family))
    )
    for a, b in zip(flash, sdpa, strict=True):
        assert_same(a, b)


def test_flash_attention_that_is_not_installed(load: Callable[[str], Adapter]) -> None:
    adapter = load("llama")
    with pytest.raises(CommandError, match="pip install flash-attn"):
        install(adapter.model, adapter.decoder, "flash_attention_2")


@pytest.mark.parametrize(("family", "number"), CASES)
def test_masked_rows_are_those_of_attention_masks(
    family: str,
    number: int,
    watched: Callable[[str], Adapter],
    make_sample: Callable[..., Sample],
) -> None:
    adapter = watched(family)
    prepared = adapter.prepare(make_sample(*PROMPTS[family][number]))
    said = answer_one(adapter, prepared, Options(max_new_tokens=STEPS), EVERYTHING)
    visible = np.ones((3, len(prepared.ids)), bool)
    visible[1:, 5:-8] = np.random.default_rng(0).random((2, len(prepared.ids) - 13)) < 0.5
    passing = Masked(adapter, prepared)
    found = passing.log_odds(said.ids, visible)
    np.testing.assert_allclose(-np.logaddexp(0, -found[0]), said.logprob, atol=1e-4)
    passing._windowed = True  # the literal one: every token passes, hidden ones are masked
    np.testing.assert_allclose(passing.log_odds(said.ids, visible), found, atol=1e-3)
    assert passing.answers(visible[:1], STEPS)[0] == said.ids.tolist()
