"""`omnitrace learn-heads RUN OUT`: which attention heads tell what answers need. No model."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from omnitrace import open_run
from omnitrace.atomic import atomic_write
from omnitrace.cli.console import narrate, narrate_failures, tracked
from omnitrace.cli.flags import ConfigFile, PresetName, flags_of, layered
from omnitrace.config import to_toml
from omnitrace.errors import OmniTraceError
from omnitrace.store.kinds import ABLATIONS
from replay import PRESETS
from replay import preset as preset_of
from replay.methods import AttributionTask
from replay.methods.learn import as_config, learn
from replay.run import check_addition


@flags_of(PRESETS["default"])
def learn_heads(
    run: Path,
    out: Path,
    *,
    preset: PresetName = "default",
    config: ConfigFile = None,
    ablations: str = "mask",
    given: dict[str, Any] | None = None,
) -> int:
    """Learn, from a recording, weights of attention heads that tell what answers need.

    The run must have been recorded with --level heads and --ablations. OUT is a configuration for
    other runs of the same model, which then take no ablations: replay them with --config OUT.

    Parameters
    ----------
    run
        the folder of a run to learn from
    out
        the TOML file to write
    ablations
        the name under which ablations were recorded
    """
    chosen, opened = layered(preset_of(preset), config, given), open_run(run)
    check_addition(opened, ABLATIONS, ablations)
    failed: dict[str, str] = {}
    task_of = partial(AttributionTask, config=chosen, ablations=ablations)
    learned = learn(opened, tracked(tuple(opened)), task_of, failed)
    with atomic_write(out, OmniTraceError) as temporary:
        temporary.write_text(to_toml(as_config(learned, chosen)), "utf-8")
    narrate(
        f"{out}: from {learned.spans} spans of {learned.samples} samples; correlation with their "
        f"masks {learned.after:.3f}, with all heads alike {learned.before:.3f}."
    )
    return narrate_failures(f"sample '{id}' is left out: {why}." for id, why in failed.items())
