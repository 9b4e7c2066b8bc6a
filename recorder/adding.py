"""Going through a recorded run and adding something to each sample: the loop, resuming, failing.

Knows a function from trace to addition; not what it computes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic

from omnitrace.ablations import Ablations
from omnitrace.progress import Progress, Report
from omnitrace.samples import each_sample, sample_sentence
from omnitrace.store.adder import Adder
from omnitrace.text import one_line
from omnitrace.timeline import Segmentation
from omnitrace.trace import Tagging, Trace

LONGEST_UNWRITTEN = 60.0
"""Seconds after which finished samples are written, though a file could hold more."""


@dataclass
class AddSummary:
    """What happened to `total` samples: `added` now, `skipped` because they have it already,
    `failed` (id → sentence); `notes`: sentences about what was added."""

    total: int
    skipped: int
    added: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def done(self) -> int:
        """How many of them need no more work."""
        return self.skipped + self.added + len(self.failed)


Addition = Segmentation | Tagging | Ablations
Make = Callable[[Trace], Addition]


def add_to_run(adder: Adder, ids: Sequence[str], make: Make, report: Report) -> AddSummary:
    """Add what `make` makes to every sample of `ids` that lacks it.

    A sample whose trace or media cannot be read is named in the summary; the rest go on. An
    exception, Ctrl-C among them, ends the loop; leaving the adder then writes what is finished.
    What takes long is written as it comes, so that a process that is killed loses little.
    """
    todo = [id for id in ids if id not in adder.done]
    summary = AddSummary(len(ids), len(ids) - len(todo))

    def use(trace: Trace) -> tuple[Trace, Addition]:
        report(Progress(summary.done, summary.total, trace.id))
        return trace, make(trace)

    written = monotonic()
    for _, (trace, made) in each_sample(adder.run, todo, use, summary.failed):
        adder.add(trace, made)
        summary.added += 1
        if monotonic() - written >= LONGEST_UNWRITTEN:
            adder.commit()
            written = monotonic()
    summary.failed = {
        id: sample_sentence(id, one_line(why, 1000)) for id, why in summary.failed.items()
    }
    report(Progress(summary.done, summary.total))
    return summary
