"""`omnitrace confirm RUN`: remove the best sources of each span, to see whether it needs them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from omnitrace import open_run
from omnitrace.cli.console import narrate, progress_bar
from omnitrace.cli.flags import ConfigFile, PresetName, RunPath, flags_of, layered
from recorder.cli.output import loading, show_added
from recorder.config import AblateConfig
from replay import PRESETS
from replay import preset as preset_of
from replay.run import check_added


@dataclass(frozen=True)
class ConfirmOptions:
    """What is removed, and the model that is passed.

    Parameters
    ----------
    samples
        the samples file that was recorded, which names the media
    name
        what the removals are called; empty: confirm, or confirm-2 … where that was made otherwise
    mode
        hide a unit from attention, or put the mean embedding of its modality in its place, as
        models need whose layers carry a state
    ids
        only these samples: ids with commas between
    limit
        only the first this many samples; 0: all
    model
        the run's model: folder, GGUF file, adapter or hub id; empty: the bundled tiny model
    revision
        the model's commit on the hub; empty: the newest
    trust_remote_code
        run the code that the model brings
    tokenizer
        the folder of the run's --tokenizer, if it had one
    chat_template
        the file of the run's --chat-template, if it had one
    date
        the day YYYY-MM-DD that the chat template was told, where the run does not keep it
    device
        cpu, cuda, cuda:1 …; auto: a GPU if there is one
    device_map
        spread the layers over several GPUs; empty: all on the device
    """

    samples: str = ""
    name: str = ""
    mode: Literal["mask", "mean-embedding"] = "mask"
    ids: str = ""
    limit: Annotated[int, Parameter(validator=Number(gte=0))] = 0
    model: str = ""
    revision: str = ""
    trust_remote_code: bool = False
    tokenizer: str = ""
    chat_template: str = ""
    date: str = ""
    device: str = "auto"
    device_map: str = ""


@flags_of(PRESETS["default"])
def confirm(
    run: RunPath,
    *,
    top: Annotated[int, Parameter(validator=Number(gte=1, lte=4096))] = 5,
    preset: PresetName = "default",
    config: ConfigFile = None,
    options: Annotated[ConfirmOptions, Parameter(name="*")] = ConfirmOptions(),
    given: dict[str, Any] | None = None,
) -> int:
    """Remove the best sources of each span one at a time, to see whether the span needs them.

    Passes the run's own model over its own samples, the answer as it was recorded. `omnitrace
    replay` and the browser then say of each source whether it caused its span (docs/confirm.md).
    Running the same command again resumes: samples that have it are skipped, and a unit whose
    removal is recorded is not removed again.

    Parameters
    ----------
    top
        how many of the best units of each span; spans that share a unit share its pass
    """
    chosen = layered(preset_of(preset), config, given)
    opened = open_run(run)
    check_added(opened, chosen)
    with loading():
        from omnitrace.confirm import best_alone
        from recorder.ablation.ablate import ablate_inputs

    how = AblateConfig(**asdict(options))
    masks = best_alone(opened, how, top, chosen)
    with progress_bar() as report:
        summary = ablate_inputs(run, masks.config, report, masks)
    narrate(f"{run}: ablations '{masks.name}'; omnitrace replay {run} says what they show.")
    return show_added(run, summary)
