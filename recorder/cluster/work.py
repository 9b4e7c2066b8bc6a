"""What is common to all engines: the samples in blocks, the longest first, and how far a run is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omnitrace.errors import CommandError
from omnitrace.store.run import open_run
from recorder.config import RecordConfig
from recorder.inputs.samples import Sample, is_file, read_samples
from recorder.record import RecordSummary, select

BLOCK = 16
"""Samples that a worker takes at a time: enough to fill a batch, few enough to share out."""
LOOK_SECONDS = 5.0
"""Between two looks at how far the run is."""
ADVICE = "What is committed is safe: run the same command again."


def chosen(samples: Path, config: RecordConfig) -> list[Sample]:
    """The samples that all workers share; CommandError for what only makes sense to one."""
    if config.shard or config.limit:
        raise CommandError(
            "--shard and --limit choose what one process records; workers share all samples of "
            "the file, or those that --ids names."
        )
    return select(read_samples(samples), config)


def blocks(samples: Sequence[Sample], size: int = BLOCK) -> list[list[str]]:
    """Ids in blocks of like length, the longest first, so that no long one is left for the end."""
    ordered = sorted(samples, key=_length, reverse=True)
    ids = [sample.id for sample in ordered]
    return [ids[start : start + size] for start in range(0, len(ids), size)]


def _length(sample: Sample) -> tuple[int, int]:
    """Bytes of the media that there are, then characters."""
    sizes = [path.stat().st_size for path in sample.paths if is_file(path)]
    sizes += [len(content.data or b"") for content in sample.media]
    text = sum(len(part.text) for message in sample.messages for part in message.parts)
    return sum(sizes), text


def committed(run_path: Path) -> set[str]:
    """Ids that the run holds by now."""
    try:
        return set(open_run(run_path))
    except CommandError:  # it is not made yet
        return set()


def joined(summaries: Sequence[RecordSummary]) -> RecordSummary:
    """What all workers did."""
    whole = RecordSummary(0, 0)
    for summary in summaries:
        whole.total += summary.total
        whole.skipped += summary.skipped
        whole.recorded += summary.recorded
        whole.ablated += summary.ablated
        whole.failed.update(summary.failed)
        whole.notes += [note for note in summary.notes if note not in whole.notes]
    return whole
