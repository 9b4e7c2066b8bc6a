"""`omnitrace record SAMPLES RUN`: run a model over samples and keep what its answers came from."""

from __future__ import annotations

import dataclasses
import json as json_format
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from omnitrace.cli.cluster import HERE, Workers
from omnitrace.cli.console import narrate, narrate_failures, out, plain, progress_bar, table
from omnitrace.cli.flags import KeysFile, flags_of, layered
from omnitrace.engines.resources import Resources
from omnitrace.text import one_line
from recorder.cli.output import loading, show_summary
from recorder.config import RecordConfig
from recorder.inputs.samples import Sample, read_samples
from recorder.models.checkpoint import find_checkpoint
from recorder.models.settings import read_chat_template, read_date, template_args

if TYPE_CHECKING:
    from rich.table import Table

    from recorder.plan import Plan
    from recorder.record import RecordSummary


@dataclasses.dataclass(frozen=True)
class RecordOptions:
    """What to do with the samples, and where."""

    plan: Annotated[
        bool, Parameter(help="record a few for trial, say what all would take, write nothing")
    ] = False
    json: Annotated[bool, Parameter(help="print the plan as JSON (omnitrace.plan/1)")] = False
    gpus: Annotated[int, Parameter(help="of each worker, with --cluster")] = 0


@flags_of(RecordConfig())
def record(
    samples: Path,
    run: Path,
    *,
    config: KeysFile = None,
    options: Annotated[RecordOptions, Parameter(name="*")] = RecordOptions(),
    on: Annotated[Workers, Parameter(name="*")] = HERE,
    given: dict[str, Any] | None = None,
) -> int:
    """Run a model over samples and record what its answers were caused by.

    Running the same command again resumes: samples that the run holds are skipped.

    Parameters
    ----------
    samples
        JSON lines {"id", "messages"} in the chat format of transformers, or the JSON list of the
        paper's release; media paths are relative to it
    run
        the folder of the run: made if it is not there, joined if it is
    """
    chosen = layered(RecordConfig(), config, given)
    read = refuse_early(samples, chosen)
    if options.plan:
        return show_plan(samples, chosen, options.json)
    if on.cluster:
        summary = record_on_cluster(samples, run, chosen, on.cluster, on.resources(options.gpus))
    else:
        with loading():
            from recorder.record import record as record_run

        with progress_bar() as report:
            summary = record_run(samples, run, chosen, report, read)
    for note in summary.notes:
        narrate(f"{run}: {note}")
    others = {"there already": summary.skipped, "ablated": summary.ablated}
    return show_summary(run, f"{summary.recorded} recorded", others, summary.failed)


def refuse_early(samples: Path, config: RecordConfig) -> list[Sample]:
    """The samples; CommandError for what is wrong with them or with the model's path.

    Here and not in `recorder.record`, so that it is known before torch is loaded.
    """
    template_args(config.template_args)
    read_chat_template(config.chat_template)
    read_date(config.date)
    if config.model:
        find_checkpoint(config.model, config.revision, config.trust_remote_code, config.tokenizer)
    return read_samples(samples)


def record_on_cluster(
    samples: Path, run: Path, config: RecordConfig, engine: str, resources: Resources
) -> RecordSummary:
    """Let an engine's workers record, and wait for them."""
    if engine == "ray":
        with loading():
            from recorder.cluster.on_ray import record_on_ray

        with progress_bar() as report:
            return record_on_ray(samples, run, config, resources, report)
    with loading():
        from recorder.cluster.slurm import record_on_slurm

    with progress_bar() as report:
        return record_on_slurm(samples, run, config, resources, report, engine)


def show_plan(samples: Path, config: RecordConfig, json: bool) -> int:
    """Print what recording would take; 1 if some samples cannot be recorded."""
    with loading():
        from recorder.plan import plan as plan_run

    with progress_bar() as report:
        plan = plan_run(samples, config, report)
    if json:
        data = {"schema": "omnitrace.plan/1", **dataclasses.asdict(plan)}
        sys.stdout.write(json_format.dumps(data) + "\n")
    else:
        out().print(plan_table(plan))
        out().print(plain(plan_sentence(plan)), soft_wrap=True)
    return narrate_failures(plan.failed.values())


def plan_table(plan: Plan) -> Table:
    """A line a sample."""
    made = table("plan", "sample", "prompt>", "answer>", "on disk>", "seconds>")
    for sample in plan.samples:
        size = f"{sample.nbytes:,}"
        made.add_row(
            plain(one_line(sample.id, 60)), f"{sample.n:,}", f"{sample.T:,}", size,
            f"{sample.seconds:.2f}",
        )  # fmt: skip
    return made


def plan_sentence(plan: Plan) -> str:
    """What all take, and how that is known."""
    answers = sum(sample.T for sample in plan.samples)
    prompts = sum(sample.n for sample in plan.samples)
    length = f"answers as long as in {plan.trials} trials" if plan.measured_T else "given answers"
    return (
        f"{len(plan.samples)} samples: {prompts:,} tokens of prompts, {answers:,} of answers "
        f"({length}), {plan.nbytes:,} bytes on disk, {plan.memory / 2**30:.2f} GiB of memory on "
        f"{plan.device}, {plan.seconds:.0f} s after loading the model."
    )
