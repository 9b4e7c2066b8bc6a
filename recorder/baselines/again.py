"""The recorded samples and their model once more: read again, and held against the recording.

Knows samples files, adapters and runs' identities; no baseline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from omnitrace.errors import CommandError, OmniTraceError
from omnitrace.text import one_line
from omnitrace.trace import Trace
from recorder.bundled import TINY_OMNI
from recorder.config import BaselineConfig
from recorder.inputs.samples import Sample, read_samples
from recorder.models.adapter import (
    Adapter,
    Prepared,
    Settings,
    describe_model,
    load_adapter,
)
from recorder.models.template import read_chat_template
from recorder.models.weights import Weights
from recorder.segment import unchanged


@dataclass(frozen=True)
class Samples:
    """The samples of the file `path`, which was recorded."""

    path: Path
    by_id: Mapping[str, Sample]

    @classmethod
    def read(cls, path: str) -> Samples:
        """CommandError if none is named, or as `read_samples`."""
        if not path:
            raise CommandError(
                "this baseline reads the prompts again, and a run holds no media: name the samples "
                "file that was recorded with --samples."
            )
        samples = read_samples(Path(path), check_files=False)
        return cls(Path(path), {sample.id: sample for sample in samples})

    def of(self, trace: Trace) -> Sample:
        """The sample that was recorded; OmniTraceError if it or one of its media changed."""
        sample = self.by_id.get(trace.id)
        if sample is None:
            raise OmniTraceError(f"{self.path} has no such sample.")
        if len(sample.media) != len(trace.media):
            raise OmniTraceError(
                f"{self.path} gives it {len(sample.media)} media; {len(trace.media)} were recorded."
            )
        for medium, content in zip(trace.media, sample.media, strict=True):
            unchanged(medium, [content], str(self.path))
        return sample


def load_again(identity: Mapping[str, Any], config: BaselineConfig) -> Adapter:
    """The model that the run was recorded with; CommandError if `config` names another."""
    path = config.model or str(TINY_OMNI)
    spec = describe_model(path, config.revision, config.trust_remote_code, config.tokenizer)
    recorded, found = identity.get("revision"), spec.fingerprint
    if recorded is not None and recorded != found:
        raise CommandError(
            f"the run was recorded with '{one_line(str(identity.get('model')))}', revision "
            f"{one_line(str(recorded))}; '{path}' has the revision {found}: name that model with "
            "--model and --revision."
        )
    weights = Weights(config.dtype, config.device, config.device_map, config.quantize)
    settings = Settings(
        float(identity.get("fps", 2.0)),
        identity.get("template_args", {}),
        read_chat_template(config.chat_template),
        identity.get("min_pixels"),
        identity.get("max_pixels"),
    )
    return load_adapter(spec, weights, settings)


def prepare_again(adapter: Adapter, sample: Sample, trace: Trace) -> Prepared:
    """The prompt as model input; OmniTraceError unless its tokens are those recorded."""
    prepared = adapter.prepare(sample)
    if not np.array_equal(prepared.prompt.prompt_ids, trace.prompt_ids):
        raise OmniTraceError(
            f"its prompt has {prepared.prompt.n} tokens that are not the {trace.n} recorded ones: "
            "the sample, or the library that prepares it, changed since."
        )
    return prepared
