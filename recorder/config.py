"""The options of recordings and of additions to runs. Data only: loads no torch for the help."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from omnitrace.config import option
from omnitrace.units import UnitConfig

WHOLE = UnitConfig(video="apart", vision_seconds=2.0)
"""The units of the default preset, the request among them: what ablations take away as wholes."""

_DATA = Path(__file__).parent / "data"

TINY_OMNI = _DATA / "tiny_omni"
"""A Qwen2.5-Omni thinker of toy size with its processor, trained by `training/omni.py`."""

TAGGER = _DATA / "tagger"
"""A spaCy pipeline: POS tagger and sentence splitter, trained by `training/`."""

LEVELS = ("tokens", "layers", "heads", "qk")


@dataclass(frozen=True)
class RecordConfig:
    """How samples are answered and recorded.

    All is part of the run's identity but where it runs (`device`, `device_map`, `batch_size`),
    which samples (`ids`, `shard`, `limit`), what is added (`ablations`, `confirm`) and who may read
    it (`media_root`, `private`).
    """

    model: str = option(
        "",
        "a model folder, GGUF file, PEFT adapter folder or hub id; empty: the bundled tiny model",
    )
    revision: str = option("", "the model's commit on the hub; empty: the newest")
    trust_remote_code: bool = option(
        False, "run the code that the model brings; of the hub's only with --revision, in full"
    )
    tokenizer: str = option(
        "", "a folder whose tokenizer and processor are used; empty: the model's own"
    )
    chat_template: str = option("", "a file with a Jinja chat template; empty: the model's own")
    template_args: str = option(
        "", 'a JSON object of arguments of the chat template, such as {"enable_thinking": false}'
    )
    date: str = option(
        "",
        "the day YYYY-MM-DD that chat templates which print one are told; empty: today, or the day "
        "of the run that is continued",
    )
    responses: str = option("", "JSON lines of answers to record instead of generating any")
    level: str = option(
        "tokens",
        "how much is kept: tokens, a row a signal; layers, also a row a layer; heads, also every "
        "head's mass on each unit; qk, also queries and keys",
        choices=LEVELS,
    )
    signals: str = option("", "names with commas between; empty: the usual ones of the level")
    first_step: str = option(
        "both",
        "readings of the first step: the last query's, or also the mean over the whole prompt, "
        "which the release preset needs and which costs as much as the prompt's own attention",
        choices=("both", "query"),
    )
    max_new_tokens: int = option(256, "longest answer, in tokens", bounds=(1, 1_000_000, 64))
    temperature: float = option(0.0, "0 is greedy; above it tokens are drawn", bounds=(0, 10, 0.1))
    top_p: float = option(1.0, "drawn from the likeliest tokens of this mass", bounds=(0, 1, 0.05))
    top_k: int = option(0, "drawn from this many likeliest tokens; 0: all", bounds=(0, 10**6, 10))
    seed: int = option(0, "of the draws, the same for every sample", bounds=(0, 2**63 - 1, 1))
    fps: float = option(2.0, "frames a second taken from a video", bounds=(0.01, 60, 0.5))
    min_pixels: int = option(
        0, "enlarge images and frames to this many pixels; 0: as they are", bounds=(0, 10**9, 1)
    )
    max_pixels: int = option(
        0, "shrink images and frames to this many pixels; 0: as they are", bounds=(0, 10**9, 1)
    )
    dtype: str = option(
        "auto",
        "precision of the weights; auto: as stored",
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    attn: str = option(
        "sdpa", "the model's own fast attention", choices=("sdpa", "flash_attention_2")
    )
    spacy_model: str = option("", "spaCy pipeline for tags and sentences; empty: the bundled one")
    quantize: str = option(
        "no",
        "load the weights in 8 or 4 bits (needs the extra [quantised]); a checkpoint that is "
        "stored quantised loads as it is",
        choices=("no", "8bit", "4bit"),
    )
    device: str = option("auto", "cpu, cuda, cuda:1 …; auto: a GPU if there is one")
    device_map: str = option(
        "", "spread the layers over several GPUs: auto, balanced …; empty: all on the device"
    )
    ablations: int = option(
        0,
        "also record the answers' probabilities under this many masks of their prompts, as "
        "`omnitrace ablate-inputs` does; 0: none",
        bounds=(0, 65_536, 16),
    )
    confirm: int = option(
        0,
        "also remove this many of the best sources of each span one at a time, as `omnitrace "
        "confirm` does under the preset default; 0: none",
        bounds=(0, 4096, 1),
    )
    batch_size: str = option("1", "samples at a time, or auto: as many as the memory holds")
    media_root: str = option(
        "", "refuse media that do not lie in this folder, links followed; empty: anywhere"
    )
    redact_text: bool = option(
        False, "keep no words: letters become x, token ids, media names and answers go"
    )
    private: bool = option(False, "what is written can be read by its owner alone (0600)")
    ids: str = option("", "record only these samples: ids with commas between")
    shard: str = option("", "record only the i-th of N parts of the samples: i/N, from 1/N to N/N")
    limit: int = option(0, "record only the first this many samples; 0: all", bounds=(0, 10**12, 1))


@dataclass(frozen=True)
class ReloadConfig:
    """The model of a recorded run, and where it is loaded again."""

    model: str = option(
        "",
        "the run's model: folder, GGUF file, adapter or hub id; empty: the bundled tiny model",
    )
    revision: str = option("", "the model's commit on the hub; empty: the newest")
    trust_remote_code: bool = option(False, "run the code that the model brings")
    tokenizer: str = option("", "the folder of the run's --tokenizer, if it had one")
    chat_template: str = option("", "the file of the run's --chat-template, if it had one")
    date: str = option(
        "", "the day YYYY-MM-DD that the chat template was told, where the run does not keep it"
    )
    device: str = option("auto", "cpu, cuda, cuda:1 …; auto: a GPU if there is one")
    device_map: str = option("", "spread the layers over several GPUs; empty: all on the device")


@dataclass(frozen=True)
class MaskConfig:
    """Which parts of recorded prompts are taken away, of which samples."""

    samples: str = option("", "the samples file that was recorded, which names the media")
    name: str = option("", "what replays call them; empty: the mode, or asked")
    masks: int = option(64, "rows a sample, the unmasked one included", bounds=(2, 65_536, 16))
    mode: str = option(
        "mask",
        "hide tokens from the language model, which keeps all positions; put the mean embedding "
        "of their modality in their place; part by part, lay the prompt out again without; or, "
        "cheap and not exact, hide tokens from the answer's queries alone",
        choices=("mask", "mean-embedding", "remove", "answer-mask"),
    )
    units: UnitConfig = field(default_factory=lambda: WHOLE)
    seed: int = option(0, "of the drawn masks", bounds=(0, 2**63 - 1, 1))
    asked: str = option("", "record these masks, which `omnitrace faithful --ask` wrote, instead")
    ids: str = option("", "only these samples: ids with commas between")
    limit: int = option(0, "only the first this many samples; 0: all", bounds=(0, 10**12, 1))


# Dataclasses take the fields of the last base first.
@dataclass(frozen=True)
class AblateConfig(ReloadConfig, MaskConfig):
    """Which parts of recorded prompts are taken away, and the model that is passed again."""


@dataclass(frozen=True)
class SegmentConfig:
    """How the sound of a recorded run is cut into stretches; each segmenter reads its own part."""

    name: str = option("", "what replays call the segmentation; empty: the segmenter's own name")
    media: str = option("", "a folder in which the run's sound and film files lie, at any depth")
    samples: str = option("", "the samples file that was recorded: another way to find the media")
    transcripts: str = option(
        "", "transcript: the folder of STEM.srt, .vtt or .json, STEM a medium's or a sample's name"
    )
    seconds: float = option(1.0, "bins: length of a stretch in seconds", bounds=(0.04, 3600, 0.5))
    granularity: str = option(
        "sentences",
        "whisper, paraformer, scribe: what a stretch is",
        choices=("words", "sentences"),
    )
    model: str = option("", "whisper, paraformer, scribe: another model than the usual one")
    language: str = option(
        "", "whisper, scribe: the language spoken, such as en; empty: it is heard"
    )
    device: str = option(
        "auto", "whisper, paraformer: cpu, cuda, cuda:1 …; auto: a GPU if there is"
    )
    base_url: str = option("https://api.elevenlabs.io", "scribe: the server that is asked")
