"""`omnitrace prior RUN OUT`: what each relative place of a prompt gets, whatever is asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from omnitrace import Trace, open_run
from omnitrace.arrays import Float64
from omnitrace.cli.console import narrate, narrate_failures, tracked
from omnitrace.cli.flags import ConfigFile, PresetName, RunPath, flags_of, layered
from omnitrace.errors import OmniTraceError
from omnitrace.samples import each_sample
from replay import PRESETS, ReplayConfig
from replay import preset as preset_of
from replay.prior import prior_of, write_prior
from replay.rows import rows_of
from replay.run import check_added
from replay.tokens import dropped_tokens


@flags_of(PRESETS["default"])
def prior(
    run: RunPath,
    out: Path,
    *,
    preset: PresetName = "default",
    config: ConfigFile = None,
    given: dict[str, Any] | None = None,
) -> int:
    """Write what each relative place of a prompt gets in the samples of a run, whatever they ask.

    Of the scores that the configuration reads, without the tokens that it drops. Replay with
    --tokens.prior OUT: each sample is then compared with all samples of the file but itself.

    Parameters
    ----------
    out
        the JSON file to write
    """
    chosen = layered(preset_of(preset), config, given)
    chosen = replace(chosen, tokens=replace(chosen.tokens, prior="", baseline="none"))
    opened = open_run(run)
    check_added(opened, chosen)
    failed: dict[str, str] = {}
    samples = dict(
        each_sample(opened, tracked(tuple(opened)), lambda trace: curves(trace, chosen), failed)
    )
    if not samples:
        raise OmniTraceError(f"no sample of {run} could be read: {next(iter(failed.values()), '')}")
    write_prior(out, chosen.signal, samples)
    narrate(f"{out}: the places of {len(samples)} samples.")
    return narrate_failures(failed.values())


def curves(trace: Trace, config: ReplayConfig) -> dict[str, Float64]:
    """What the places of one sample get, by modality."""
    units = trace.tagged(config.tags).units(config.units)
    dropped = dropped_tokens(trace, units, config, config.tokens)
    return prior_of(trace, rows_of(trace, config), dropped)
