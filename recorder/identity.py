"""The identity of a run: which model, options and samples it was recorded with.

Defines what must be equal for samples to be in one run; reloads a recorded model and its prompts,
and checks them against the recording. Knows adapters and samples files; no loop and no store.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from omnitrace import Run
from omnitrace.baseline import BaselineConfig
from omnitrace.errors import CommandError, OmniTraceError, SampleError
from omnitrace.text import one_line
from omnitrace.trace import Trace
from recorder import fingerprint
from recorder.config import TINY_OMNI, RecordConfig, ReloadConfig
from recorder.inputs.loaded import digest
from recorder.inputs.responses import Response
from recorder.inputs.samples import Sample, read_samples
from recorder.models.adapter import Adapter, ModelSpec, Prepared, describe_model, load_adapter
from recorder.models.day import asking
from recorder.models.settings import Settings, Weights, read_date
from recorder.tracer import attention_about, options_of, signal_names

RECORDED_OPTIONS = {
    "dtype": "dtype",
    "quantize": "quantize",
    "attention": "attn",
    "fps": "fps",
    "min_pixels": "min_pixels",
    "max_pixels": "max_pixels",
}
"""Names in a run's identity → the fields of RecordConfig that a model is loaded with again."""
SAME_MODEL = ("model_type", "revision", "base_revision", "tokenizer", "chat_template")
"""Names in a run's identity that must be equal for a model to be the recorded one."""


def resolve_model(config: RecordConfig) -> ModelSpec:
    """The model that is to be recorded, the bundled one if none is named."""
    path = config.model or str(TINY_OMNI)
    return describe_model(path, config.revision, config.trust_remote_code, config.tokenizer)


def day_of(config: RecordConfig, there: Mapping[str, Any] | None) -> str:
    """The day YYYY-MM-DD that a chat template which prints one is told.

    `there`: the identity of the run that is continued, whose day is taken where `config` names
    none; None: a new run, which is of today. CommandError for a wrong day, and where neither the
    run nor `config` says which day its samples were told.
    """
    named = read_date(config.date)
    if named or there is None:
        return named or date.today().isoformat()
    if "date" not in there:
        raise CommandError(
            "the chat template of the model prints the day, and the run does not keep the day that "
            "its samples were told: name that day with --date YYYY-MM-DD."
        )
    return read_date(str(there["date"]))


def run_identity(
    spec: ModelSpec, config: RecordConfig, tagger: str, there: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What must be equal for samples to be in one run (JSON data).

    `there`: the identity of the run that is continued; one that keeps no day goes on without.
    """
    told = {"date": config.date} if config.date and "date" in (there or {"date": ""}) else {}
    return {
        **spec.identity,
        **Settings.of(config).identity,
        "dtype": spec.dtype if config.dtype == "auto" else config.dtype,
        "generation": "given" if config.responses else asdict(options_of(config)),
        "quantize": config.quantize,
        "attention": config.attn,
        "fps": config.fps,
        "level": config.level,
        "signals": signal_names(config),
        "first_step": config.first_step,
        "tagger": tagger,
        **attention_about(spec.config),
        **told,
    } | ({"redact_text": True} if config.redact_text else {})


def sample_key(
    sample: Sample,
    identity: Mapping[str, Any],
    given: Response | None = None,
    media: Sequence[str] | None = None,
) -> str:
    """Digest of the row, its media, its given answer and the run's identity.

    `media` are the media's sha256 where these are known; SampleError if a medium is gone.
    """
    if media is None:
        media = [digest(content) for content in sample.media]
    response = [] if given is None else [given.digest]
    return fingerprint.of_json([sample.sha256, list(media), identity, *response])


def refuse_unknown_revision(run: Run, why: str) -> None:
    """CommandError where the run does not say which model it was recorded with; `why`: who needs
    the very model, with the verb."""
    if "revision" not in run.identity:
        raise CommandError(
            f"the run {run.path} does not say which revision of its model was recorded, and "
            f"{why} the very model: record the samples with omnitrace record."
        )


def reload_model(identity: Mapping[str, Any], config: ReloadConfig | BaselineConfig) -> Adapter:
    """The model of a run, loaded with the recorded options from the path in `config`.

    Chat templates are told the run's day, or that of `config` where the run keeps none. Raises
    CommandError if `config` names another model, tokenizer, chat template or day.
    """
    known = {field.name for field in fields(RecordConfig)}
    recorded = {own: identity[name] for name, own in RECORDED_OPTIONS.items() if name in identity}
    recorded["template_args"] = json.dumps(identity.get("template_args", {}))
    chosen = {name: value for name, value in vars(config).items() if name in known}
    chosen["date"] = _day_told(identity, config.date)
    options = RecordConfig(**{**recorded, **chosen})
    spec, settings = resolve_model(options), Settings.of(options)
    _refuse_other_model(identity, spec, settings)
    return load_adapter(spec, Weights.of(options), settings)


def _day_told(identity: Mapping[str, Any], named: str) -> str:
    """The day that a run's chat template was told; empty if neither the run nor `named` says it."""
    there, named = read_date(str(identity.get("date", ""))), read_date(named)
    if there and named and there != named:
        raise CommandError(
            f"the run was recorded as of {there}, and --date says {named}: leave out --date."
        )
    return there or named


def _refuse_other_model(identity: Mapping[str, Any], spec: ModelSpec, settings: Settings) -> None:
    if "revision" not in identity:
        return
    here = spec.identity | settings.identity
    for name in SAME_MODEL:
        if here.get(name) != identity.get(name):
            raise CommandError(
                f"the run of '{one_line(str(identity.get('model')))}' was recorded with the {name} "
                f"{one_line(str(identity.get(name)))}, and this is {one_line(str(here.get(name)))}:"
                " name the very model with --model and --revision, and with the run's --tokenizer "
                "and --chat-template if it had them."
            )


def _refuse_other_media(trace: Trace, sample: Sample, found: Sequence[str]) -> None:
    """SampleError unless the digests `found` of the media of `sample` are those recorded."""
    for medium, content, sha256 in zip(trace.media, sample.media, found, strict=True):
        if sha256 != medium.sha256:
            raise SampleError(
                f"{content.path or content.name} is not the {medium.kind} "
                f"'{one_line(medium.name)}' that was recorded."
            )


@dataclass(frozen=True)
class RecordedSamples:
    """The samples of a run, as the file `path` has them."""

    by_id: Mapping[str, Sample]
    path: str = "the samples file"

    @classmethod
    def read(cls, path: str) -> RecordedSamples:
        """CommandError if none is named, or as `read_samples`."""
        if not path:
            raise CommandError(
                "a run holds no media: name the samples file that was recorded with --samples."
            )
        samples = read_samples(Path(path), check_files=False)
        return cls({sample.id: sample for sample in samples}, path)

    def of(self, trace: Trace) -> Sample:
        """The sample that was recorded; SampleError if it or one of its media changed."""
        sample = self._listed(trace)
        _refuse_other_media(trace, sample, [digest(content) for content in sample.media])
        return sample

    def _listed(self, trace: Trace) -> Sample:
        """The sample of that id, with as many media."""
        sample = self.by_id.get(trace.id)
        if sample is None:
            raise SampleError(f"{self.path} has no such sample.")
        if len(sample.media) != len(trace.media):
            raise SampleError(
                f"{self.path} gives it {len(sample.media)} media; {len(trace.media)} were recorded."
            )
        return sample

    def prepare(self, adapter: Adapter, trace: Trace) -> Prepared:
        """The recorded prompt as model input; SampleError unless its media and its tokens are those
        recorded. Media are digested once, as they are read."""
        sample = self._listed(trace)
        try:
            prepared = adapter.prepare(sample)
        except OmniTraceError:
            self.of(trace)  # says so if a medium is another one now
            raise
        media = [medium.sha256 for medium in prepared.prompt.media]
        _refuse_other_media(trace, sample, media)
        if not np.array_equal(prepared.prompt.prompt_ids, trace.prompt_ids):
            raise SampleError(
                f"its prompt has {prepared.prompt.n} tokens that are not the {trace.n} recorded "
                "ones: the sample, or the library that prepares it, changed since"
                f"{_or_day(adapter)}."
            )
        return prepared


def _or_day(adapter: Adapter) -> str:
    """The rest of a sentence where the prompt depends on a day that is not known."""
    if adapter.settings.date or not asking(getattr(adapter, "processor", None)):
        return ""
    return ", or its chat template prints the day: name that of the recording with --date"
