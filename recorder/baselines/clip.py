"""Similarity by CLIP (paper, App. C.2.2, Embed_CLIP): texts and images in one space.

A text longer than CLIP reads is cut off by its tokenizer. Knows chunks and media; not the model
that was recorded, and no threshold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transformers

from omnitrace.arrays import Float64
from omnitrace.baseline import BaselineConfig
from omnitrace.chunks import Chunks, cosines
from omnitrace.errors import CommandError
from omnitrace.timeline import Modality
from omnitrace.trace import Trace
from recorder.identity import RecordedSamples
from recorder.inputs.loaded import source_of
from recorder.inputs.media import load_image
from recorder.inputs.samples import Content
from recorder.models.settings import choose_device, first_sentence

CHECKPOINT = "openai/clip-vit-large-patch14"
"""The paper's."""
AT_ONCE = 64
hf: Any = transformers


def load(identity: Mapping[str, Any], config: BaselineConfig) -> Clip:
    """Load a CLIP checkpoint and the recorded samples; CommandError if that cannot be done."""
    samples, path = RecordedSamples.read(config.samples), config.model or CHECKPOINT
    source = {"revision": config.revision} if config.revision else {}
    try:
        model = hf.CLIPModel.from_pretrained(path, **source)
        processor = hf.CLIPProcessor.from_pretrained(path, **source)
    except (OSError, ValueError, RuntimeError) as error:
        raise CommandError(f"cannot load the CLIP '{path}': {first_sentence(error)}") from error
    return Clip(model.eval().to(choose_device(config.device)), processor, samples)


@dataclass(frozen=True)
class Clip:
    """A CLIP model with its processor."""

    model: Any
    processor: Any
    samples: RecordedSamples

    def similarities(self, trace: Trace, chunks: Chunks) -> Float64:
        """(K, L) float64, NaN for sources without tokens; SampleError if the sample changed."""
        media = self.samples.of(trace).media
        sentences = [trace.response[start:end] for start, end in chunks.sentences.tolist()]
        sources = np.flatnonzero(chunks.comparable)
        vectors = [self._source(trace, chunks, int(source), media) for source in sources]
        found = np.full((len(sentences), chunks.sources), np.nan)
        if sentences and vectors:
            found[:, sources] = cosines(self._texts(sentences), np.concatenate(vectors))
        return found

    def _source(
        self, trace: Trace, chunks: Chunks, source: int, media: Sequence[Content]
    ) -> Float64:
        """(1, d): one source of the prompt."""
        line, own = trace.timeline, np.flatnonzero(chunks.owner == source)
        if line.modality[own[0]] == Modality.IMAGE:
            return self._image(media[line.medium[own[0]]])
        start, end = line.chars[own, 0].min(), line.chars[own, 1].max()
        return self._texts([trace.prompt_text[start:end]])

    def _texts(self, texts: Sequence[str]) -> Float64:
        """(texts, d)."""
        found = []
        for start in range(0, len(texts), AT_ONCE):
            some = [text.strip() for text in texts[start : start + AT_ONCE]]
            batch = self.processor(text=some, padding=True, truncation=True, return_tensors="pt")
            found.append(self._features(self.model.get_text_features, batch))
        return np.concatenate(found)

    def _image(self, content: Content) -> Float64:
        batch = self.processor(images=[load_image(source_of(content))], return_tensors="pt")
        return self._features(self.model.get_image_features, batch)

    def _features(self, features: Any, batch: Any) -> Float64:
        with torch.no_grad():
            out = features(**batch.to(self.model.device))
        # transformers 5 returns the projected vectors as the pooled output.
        vectors = out if isinstance(out, torch.Tensor) else out.pooler_output
        found: Float64 = vectors.double().cpu().numpy()
        return found
