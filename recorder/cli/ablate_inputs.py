"""`omnitrace ablate-inputs RUN`: how likely answers stay without parts of their prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omnitrace.cli.console import samples_bar
from omnitrace.cli.flags import flags_of, layered
from recorder.cli.record import recorder
from recorder.cli.segment import tell
from recorder.config import AblateConfig


@flags_of(AblateConfig())
def ablate_inputs(
    run: Path, *, config: Path | None = None, given: dict[str, Any] | None = None
) -> int:
    """Record how likely a run's answers stay when parts of their prompts are taken away.

    Takes the run's own model and samples; `omnitrace faithful` reads what is recorded, with no
    model. Running the same command again resumes: samples that have it are skipped.

    Parameters
    ----------
    run
        the folder of a run
    config
        a TOML file of the keys below; flags are laid over it
    """
    chosen = layered(AblateConfig(), config, given)
    module = recorder("ablation.ablate")
    with samples_bar() as report:
        summary = module.ablate_inputs(run, chosen, report)
    return tell(summary, run)
