"""`omnitrace record SAMPLES RUN`: run a model over samples and keep what its answers came from."""

from __future__ import annotations

import dataclasses
import json as json_format
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from omnitrace.cli.cluster import HERE, Workers
from omnitrace.cli.console import narrate, out, plain, table
from omnitrace.cli.console import progress_bar as cluster_bar
from omnitrace.cli.flags import flags_of, layered
from omnitrace.engines.resources import Resources
from omnitrace.errors import CommandError
from omnitrace.text import one_line
from recorder.config import RecordConfig
from recorder.inputs.samples import Sample, read_samples
from recorder.models.checkpoint import find_checkpoint
from recorder.models.template import read_chat_template, template_args

if TYPE_CHECKING:
    from rich.table import Table

    from recorder.plan import Plan
    from recorder.record import Progress, RecordSummary, Report


@dataclasses.dataclass(frozen=True)
class How:
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
    config: Path | None = None,
    how: Annotated[How, Parameter(name="*")] = How(),
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
    config
        a TOML file of the keys below; flags are laid over it
    """
    chosen = layered(RecordConfig(), config, given)
    read = refuse_early(samples, chosen)
    if how.plan:
        return show_plan(samples, chosen, how.json)
    if on.cluster:
        summary = record_on_cluster(samples, run, chosen, on.cluster, on.resources(how.gpus))
    else:
        with progress_bar() as report:
            summary = recorder().record(samples, run, chosen, report, read)
    narrate(summary_sentence(summary, run))
    for message in summary.failed.values():
        narrate(f"omnitrace: {message}")
    return 1 if summary.failed else 0


def refuse_early(samples: Path, config: RecordConfig) -> list[Sample]:
    """The samples; CommandError for what is wrong with them or with the model's path.

    Here and not in `recorder.record`, so that it is told before torch is loaded.
    """
    template_args(config.template_args)
    read_chat_template(config.chat_template)
    if config.model:
        find_checkpoint(config.model, config.revision, config.trust_remote_code, config.tokenizer)
    return read_samples(samples)


def record_on_cluster(
    samples: Path, run: Path, config: RecordConfig, engine: str, resources: Resources
) -> RecordSummary:
    """Let an engine's workers record, and wait for them."""
    with cluster_bar("samples") as report:
        found: RecordSummary
        if engine == "ray":
            found = recorder("cluster.on_ray").record_on_ray(
                samples, run, config, resources, report
            )
        else:
            found = recorder("cluster.slurm").record_on_slurm(
                samples, run, config, resources, report, engine
            )
    return found


def show_plan(samples: Path, config: RecordConfig, json: bool) -> int:
    """Print what recording would take; 1 if some samples cannot be recorded."""
    with progress_bar() as report:
        plan = recorder("plan").plan(samples, config, report)
    if json:
        data = {"schema": "omnitrace.plan/1", **dataclasses.asdict(plan)}
        sys.stdout.write(json_format.dumps(data) + "\n")
    else:
        out().print(plan_table(plan))
        out().print(plain(plan_sentence(plan)), soft_wrap=True)
    for message in plan.failed.values():
        narrate(f"omnitrace: {message}")
    return 1 if plan.failed else 0


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


def recorder(module: str = "record") -> Any:
    """A module of `recorder`; CommandError where the [record] extra is not installed."""
    narrate("Loading torch and the model …")
    try:
        return import_module(f"recorder.{module}")
    except ImportError as error:
        raise CommandError(
            f"recording needs {error.name}: pip install 'omnitrace-replay[record]'."
        ) from error


@contextmanager
def progress_bar() -> Iterator[Report]:
    """A bar on stderr: samples done, the current one and its tokens."""
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[at]}"),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("samples", total=None, at="")

        def report(progress: Progress) -> None:
            # Brackets would be read as markup.
            sample = one_line(progress.sample, 40).replace("[", "(")
            at = f"{sample} · {progress.step} tokens" if sample else ""
            bar.update(task, completed=progress.done, total=progress.total, at=at)

        yield report


def summary_sentence(summary: RecordSummary, run: Path) -> str:
    """What happened, in one line."""
    parts = [f"{summary.recorded} recorded"]
    parts += [f"{summary.skipped} there already"] if summary.skipped else []
    parts += [f"{summary.ablated} ablated"] if summary.ablated else []
    parts += [f"{len(summary.failed)} failed"] if summary.failed else []
    return f"{run}: {', '.join(parts)}."
