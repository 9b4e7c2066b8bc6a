"""Cut the audio of a recorded run into stretches, as an addition to the run. No model is recorded.

Knows the run, the files of its media and that segmenters cut audio; not how each of them does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

import numpy as np

from omnitrace import Run
from omnitrace.errors import CommandError, SampleError
from omnitrace.media.folder import MediaFolder
from omnitrace.progress import Report, no_report
from omnitrace.store.adder import Adder
from omnitrace.store.kinds import SEGMENTATION
from omnitrace.text import one_line
from omnitrace.timeline import Medium, Modality, Segmentation
from omnitrace.trace import Trace
from recorder.adding import AddSummary, add_to_run
from recorder.config import SegmentConfig
from recorder.segmenters import AudioClip, Segmenter, load_segmenter

_REMEMBERED = 256

Find = Callable[[str, int, Medium], Path | None]
"""Sample id, medium index, medium → its unchanged file; SampleError if it is gone."""


def segment(
    run_path: Path,
    segmenter: str,
    config: SegmentConfig,
    report: Report = no_report,
) -> AddSummary:
    """Cut the audio of every sample that has some, in audio and video files, by a segmenter.

    Samples that have the segmentation are skipped; one whose media or transcript cannot be read
    is named in the summary, and the rest go on. Raises CommandError for what is wrong before the
    first sample, OmniTraceError if the run cannot be written.
    """
    chosen = load_segmenter(segmenter, config)
    cut = lru_cache(_REMEMBERED)(chosen.segments) if chosen.needs_files else chosen.segments
    name = config.name or chosen.name
    with TemporaryDirectory(prefix="omnitrace-") as unpacked:
        find = _finder(chosen, config, Path(unpacked))

        def segmented(trace: Trace) -> Segmentation:
            clips = clips_of(trace, find)
            return Segmentation(name, {index: cut(clip) for index, clip in clips.items()})

        with Adder.open(run_path, SEGMENTATION, name, chosen.about) as adder:
            return add_to_run(adder, samples_with_audio(adder.run), segmented, report)


def samples_with_audio(run: Run) -> list[str]:
    """Ids of the samples whose prompts have tokens of audio, of videos too."""
    summary = run.summary()
    has_audio = summary.modalities[:, Modality.AUDIO] > 0
    return [id for id, has in zip(summary.ids, has_audio, strict=True) if has]


def clips_of(trace: Trace, find: Find) -> dict[int, AudioClip]:
    """The audio clips of a sample by medium index; what `find` raises where a file is gone."""
    line = trace.timeline
    tokens = (line.modality == Modality.AUDIO) & (line.medium >= 0)
    media = np.unique(line.medium[tokens]).tolist()
    sample = trace.id if len(media) == 1 else ""
    clips = {}
    for index in media:
        medium = trace.media[index]
        last = np.fmax.reduce(line.end_s[tokens & (line.medium == index)], initial=0.0)
        seconds = max(medium.duration_s or 0.0, float(last))
        clips[index] = AudioClip(medium, seconds, find(trace.id, index, medium), sample)
    return clips


def _finder(segmenter: Segmenter, config: SegmentConfig, unpacked: Path) -> Find:
    if not segmenter.needs_files:
        return lambda sample, index, medium: None
    if config.samples:
        return _in_samples(Path(config.samples), unpacked)
    if config.media:
        return _in_folder(Path(config.media))
    raise CommandError(
        "this segmenter hears the sounds again, and a run holds no media: name the folder that "
        "holds their files with --media, or the samples file that was recorded with --samples."
    )


def _in_folder(root: Path) -> Find:
    if not root.is_dir():
        raise CommandError(f"--media {root} is no folder: name the one that holds the files.")
    folder = MediaFolder(root)

    def find(sample: str, index: int, medium: Medium) -> Path:
        try:
            path = folder.find(medium)
        except OSError as error:
            name = one_line(str(error.filename), 400)
            raise SampleError(f"cannot read {name}: {error.strerror}.") from error
        return path or _refuse(medium, folder.named(medium), root)

    return find


def _in_samples(samples: Path, unpacked: Path) -> Find:
    """Media of a samples file; those that lie in it as `data:` URLs become files in `unpacked`."""
    from recorder.inputs.loaded import digest
    from recorder.inputs.samples import read_samples

    media = {sample.id: sample.media for sample in read_samples(samples, check_files=False)}

    def find(sample: str, index: int, medium: Medium) -> Path:
        contents = media.get(sample, [])[index : index + 1]
        if not contents or digest(contents[0]) != medium.sha256:
            _refuse(medium, [content.path or content.name for content in contents], samples)
        content = contents[0]
        if content.path is None:
            path = unpacked / medium.sha256
            path.write_bytes(content.data or b"")
            return path
        return content.path

    return find


def _refuse(medium: Medium, others: Sequence[Path | str], where: Path) -> NoReturn:
    """SampleError: the medium is not in `where`, or `others` are there instead."""
    name = one_line(medium.name)
    if others:
        raise SampleError(f"{others[0]} is not the {medium.kind} '{name}' that was recorded.")
    raise SampleError(f"the {medium.kind} '{name}' is not in {where}.")
