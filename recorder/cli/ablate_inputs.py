"""`omnitrace ablate-inputs RUN`: how likely answers stay without parts of their prompts."""

from __future__ import annotations

from typing import Any

from omnitrace.cli.console import progress_bar
from omnitrace.cli.flags import KeysFile, RunPath, flags_of, layered
from recorder.cli.output import loading, show_added
from recorder.config import AblateConfig


@flags_of(AblateConfig())
def ablate_inputs(
    run: RunPath, *, config: KeysFile = None, given: dict[str, Any] | None = None
) -> int:
    """Record how likely a run's answers stay when parts of their prompts are taken away.

    Takes the run's own model and samples; `omnitrace faithful` reads what is recorded, with no
    model. Running the same command again resumes: samples that have it are skipped.
    """
    chosen = layered(AblateConfig(), config, given)
    with loading():
        from recorder.ablation.ablate import ablate_inputs as ablate_run

    with progress_bar() as report:
        summary = ablate_run(run, chosen, report)
    return show_added(run, summary)
