"""`omnitrace gate RUN --evidence FILE`: which samples can show whether an attribution is right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import Parameter

from omnitrace import Run, open_run
from omnitrace.atomic import atomic_write
from omnitrace.cli.console import (
    narrate,
    narrate_failures,
    out,
    plain,
    print_json,
    progress_bar,
    table,
)
from omnitrace.cli.flags import KeysFile, RunPath, flags_of, layered
from omnitrace.errors import CommandError
from omnitrace.evidence import EvidenceRow, read_evidence, truth
from omnitrace.samples import each_sample
from recorder.cli.output import loading
from recorder.gate_rules import STAGES, Funnel, GateConfig, Measured, funnel

if TYPE_CHECKING:
    from recorder.gate import Gate

SCHEMA = "omnitrace.gate/1"


@dataclass(frozen=True)
class GateOptions:
    """Where the results go.

    Parameters
    ----------
    out
        keep what is measured in this file, a line a sample; the same command goes on from it, and
        other thresholds need no model
    ids
        write the ids of the samples that are kept into this file, one a line
    truth
        write what is true of the samples that are kept into this file, for `omnitrace evaluate`
    json
        print JSON (schema omnitrace.gate/1) instead of a table
    """

    out: Path | None = None
    ids: Path | None = None
    truth: Path | None = None
    json: bool = False


@flags_of(GateConfig())
def gate(
    run: RunPath,
    *,
    evidence: Path,
    config: KeysFile = None,
    options: Annotated[GateOptions, Parameter(name="*")] = GateOptions(),
    given: dict[str, Any] | None = None,
) -> int:
    """Keep the samples whose answers are right, stable when forced, and caused by their evidence.

    Takes the run's own model and samples, and passes each answer again with its evidence visible
    and hidden (docs/evidence.md). Prints how many samples pass each stage.

    Parameters
    ----------
    evidence
        JSON lines {"id", "sentences": [{"text", "evidence": [quotes of the prompt]}], "accepted":
        [right answers]}; without a text: each sentence that holds an accepted answer
    """
    chosen, opened = layered(GateConfig(), config, given), open_run(run)
    rows = read_evidence(evidence)
    if not any(id in opened for id in rows):
        raise CommandError(
            f"{evidence} has evidence of none of the samples of {run}: name the file that was made "
            "for them."
        )
    failed: dict[str, str] = {}
    measured = measure(opened, rows, chosen, options.out, failed)
    found = funnel(measured, chosen)
    write_kept(opened, rows, found, options, failed)
    if options.json:
        print_json(document(found, measured, chosen, failed))
    else:
        show(found)
    absent = len(opened) - sum(id in opened for id in rows)
    if absent:
        narrate(f"{absent} samples of the run have no evidence and are left out.")
    return narrate_failures(failed.values())


def measure(
    run: Run,
    rows: Mapping[str, EvidenceRow],
    config: GateConfig,
    path: Path | None,
    failed: dict[str, str],
) -> list[Measured]:
    """What is measured of each sample, of `path` where it is known there; new lines go there."""

    def load() -> Gate:
        with loading(needs="the gate needs"):
            from recorder.gate import Gate
            from recorder.gate import load as load_model
            from recorder.identity import RecordedSamples

        generated = run.identity.get("generation") != "given"
        samples = RecordedSamples.read(config.samples)
        return Gate(load_model(run, config), samples, rows, generated)

    with loading(needs="the gate needs"):
        from recorder.gate import measure_run
    found: list[Measured] = []
    known = read_measured(path)
    with progress_bar() as report, lines_of(path, known) as keep:
        for one, is_new in measure_run(run, load, rows, known, failed, report):
            found.append(one)
            if is_new:
                keep(one)
    return found


def read_measured(path: Path | None) -> dict[str, Measured]:
    """What a file holds already, by sample id; a line that a killed command left unfinished is
    passed over. CommandError if it cannot be read."""
    found: dict[str, Measured] = {}
    if path is None or not path.exists():
        return found
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}.") from error
    for line in lines:
        try:
            one = msgspec.json.decode(line, type=Measured)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        found[one.id] = one
    if any(line.strip() for line in lines) and not found:
        raise CommandError(f"{path} is no file of the gate: name another one with --out.")
    return found


@contextmanager
def lines_of(path: Path | None, known: Mapping[str, Measured]) -> Iterator[Any]:
    """A function that adds a line to the file at `path`, which holds `known` from now on."""
    if path is None:
        yield lambda one: None
        return
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"".join(_line(one) for one in known.values()))
    with path.open("ab", buffering=0) as file:
        yield lambda one: file.write(_line(one))


def _line(one: Measured) -> bytes:
    return msgspec.json.encode(one) + b"\n"


def write_kept(
    run: Run,
    rows: Mapping[str, EvidenceRow],
    found: Funnel,
    options: GateOptions,
    failed: dict[str, str],
) -> None:
    """Write the ids and the truths of the samples that are kept, where these are wanted."""
    if options.ids:
        with atomic_write(options.ids) as temporary:
            temporary.write_text("".join(f"{id}\n" for id in found.kept), "utf-8")
    if options.truth:
        made = each_sample(run, found.kept, lambda trace: truth(trace, rows[trace.id]), failed)
        with atomic_write(options.truth) as temporary, temporary.open("xb") as file:
            file.writelines(msgspec.json.encode(row) + b"\n" for _, row in made)


def document(
    found: Funnel, measured: list[Measured], config: GateConfig, failed: Mapping[str, str]
) -> dict[str, Any]:
    """Schema `omnitrace.gate/1`."""
    thresholds = ("least_fall", "most_drift", "least_logprob")
    return {
        "schema": SCHEMA,
        "thresholds": {name: getattr(config, name) for name in thresholds},
        "samples": found.samples,
        **found.passed,
        "kept": list(found.kept),
        "lost": found.lost,
        "measured": [_without_key(one) for one in measured],
        "failed": dict(failed),
    }


def _without_key(one: Measured) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.to_builtins(one)
    del row["key"]
    return row


def show(found: Funnel) -> None:
    """A line a stage: how many samples are left after it."""
    made = table("gate", "stage", "samples>", "of all>")
    counts = {"all": found.samples, **{stage: found.passed[stage] for stage in STAGES}}
    for stage, count in counts.items():
        share = f"{count / found.samples:.2f}" if found.samples else "–"
        made.add_row(plain(stage), f"{count:,}", share)
    out().print(made)
