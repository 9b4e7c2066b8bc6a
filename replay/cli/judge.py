"""`omnitrace judge RUN OUT.jsonl`: a model behind a server labels what supports each sentence."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from omnitrace import Trace, open_run
from omnitrace.cli.console import narrate, narrate_failures, plain, tracked
from omnitrace.cli.console import out as stdout
from omnitrace.cli.flags import RunPath
from omnitrace.errors import CommandError
from omnitrace.media.folder import MediaFolder
from omnitrace.samples import readable, sample_sentence
from omnitrace.text import one_line
from replay.evaluation.sources import GoldFile
from replay.judge import Estimate, JudgeConfig, Labeller, estimate, media_folder
from replay.judge.client import Server
from replay.judge.labelling import open_labels


@dataclass(frozen=True)
class SpendingOptions:
    """How many samples are labelled, and what it may cost.

    Parameters
    ----------
    limit
        label this many samples at most; 0: all
    estimate
        say what it will take, and stop
    yes
        do not ask whether to go on
    price_prompt
        what a million tokens of prompts cost, for the estimate
    price_answer
        what a million tokens of answers cost
    """

    limit: Annotated[int, Parameter(validator=Number(gte=0))] = 0
    estimate: bool = False
    yes: bool = False
    price_prompt: Annotated[float, Parameter(validator=Number(gte=0))] = 0.0
    price_answer: Annotated[float, Parameter(validator=Number(gte=0))] = 0.0


def judge(
    run: RunPath,
    out: Path,
    *,
    server: Annotated[JudgeConfig, Parameter(name="*")],
    media: Path | None = None,
    spending: Annotated[SpendingOptions, Parameter(name="*")] = SpendingOptions(),
) -> int:
    """Let a model label which sources support each sentence of a run's answers.

    Any server that speaks OpenAI's chat completions will do, a local one too. The labels are what
    `omnitrace evaluate` reads (docs/evaluation.md). Running the same command again resumes.

    Parameters
    ----------
    out
        the labels file: made if it is not there, continued if it is
    media
        the folder in which the recorded media lie, at any depth; they are shown to the judge
    """
    opened, there = open_run(run), open_labels(out, server)
    GoldFile(there).check_known(opened)
    todo = [id for id in opened if id not in there.by_id][: spending.limit or None]
    damaged: dict[str, str] = {}
    folder = None if media is None or server.text_only else media_folder(media)
    traces = with_media(readable(opened, tracked(todo), damaged), folder, server)
    expected = estimate(traces, server)
    if spending.estimate:
        stdout().print(plain(estimate_sentence(expected, spending)), soft_wrap=True)
        return 1 if damaged else 0
    narrate(estimate_sentence(expected, spending))
    labeller = Labeller(server, out, folder, Server(server))
    if expected.requests:
        confirm(spending)
    labeller.label_all(opened, tracked([id for id in todo if id not in damaged]))
    narrate(summary(labeller, len(there.by_id)))
    failed = labeller.summary.failed.items()
    failures = [f"{sample_sentence(id, message)}." for id, message in failed]
    return narrate_failures([*failures, *damaged.values()])


def with_media(
    traces: Iterable[Trace], folder: MediaFolder | None, server: JudgeConfig
) -> Iterator[Trace]:
    """The traces; CommandError at the first with media if there is no folder to take them from."""
    for trace in traces:
        if trace.media and folder is None and not server.text_only:
            medium = trace.media[0]
            raise CommandError(
                f"sample '{one_line(trace.id)}' has the {medium.kind} '{one_line(medium.name)}': "
                "say with --media where the media lie, or judge the texts alone with --text-only."
            )
        yield trace


def estimate_sentence(expected: Estimate, spending: SpendingOptions) -> str:
    """The estimate in words."""
    cost = expected.price(spending.price_prompt, spending.price_answer)
    money = f", {cost:.2f} at the prices given" if cost else ""
    return (
        f"Estimate: {expected.requests} requests, {expected.prompt_tokens:,} tokens of prompts "
        f"and {expected.answer_tokens:,} of answers{money}; more where answers are not legal, less "
        "where they are in the cache."
    )


def confirm(spending: SpendingOptions) -> None:
    """CommandError unless the user agrees."""
    if spending.yes:
        return
    if not sys.stdin.isatty():
        raise CommandError("say --yes to go on, or --estimate to stop here.")
    narrate("Go on? [y/N]")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("stopped; nothing was sent.")


def summary(labeller: Labeller, there: int) -> str:
    """How many samples were labelled; `there`: before."""
    done = labeller.summary
    parts = [f"{done.done} labelled"]
    parts += [f"{done.cached} of them from the cache"] if done.cached else []
    parts += [f"{there} there already"] if there else []
    parts += [f"{len(done.failed)} failed"] if done.failed else []
    parts += [f"{labeller.server.requests} requests"]
    counted = f"{done.prompt_tokens:,} tokens of prompts, {done.answer_tokens:,} of answers"
    parts += [counted] if done.prompt_tokens else []
    return f"{labeller.out}: {', '.join(parts)}."
