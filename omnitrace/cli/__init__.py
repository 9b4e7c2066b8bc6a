"""The `omnitrace` command: one file a verb, one catcher of errors, here.

The only place in `omnitrace` that may import recorder, replay and tui, and only inside the verb
that needs it: `omnitrace info` starts without torch, and without spacy or textual.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from keyword import iskeyword
from types import FrameType
from typing import NoReturn

from cyclopts import App, CycloptsError, Group, Parameter

from omnitrace.cli.packages import check_packages
from omnitrace.errors import OmniTraceError
from omnitrace.text import safe_text
from omnitrace.version import __version__

INTERRUPTED = 130

VERBS = {
    "recording": {
        "demo": "Record, replay and show the bundled samples: everything in one minute.",
        "dataset": "Turn a published data set into samples to record.",
        "models": "Say which models can be recorded, and what of one, without its weights.",
        "record": "Run a model over samples and record what its answers were caused by.",
        "segment": "Cut a recorded run's sound into words, sentences or bins to choose from.",
        "tag": "Tag a recorded run's answers again with another spaCy pipeline.",
        "ablate-inputs": "Record how likely answers stay when parts of their prompts are gone.",
    },
    "replaying": {
        "replay": "Attribute a recorded run's answers, on the CPU, under any configuration.",
        "browse": "Read a run in the terminal: tokens, spans and their sources.",
        "report": "Write attributions to one file: a page, rows, JSON, or tables for a paper.",
        "analyse": "Ask a question about a run's attributions: a table, a figure or JSON.",
        "sweep": "Try thousands of configurations, and report the best on held-out samples.",
        "ablate": "Score a run with each part of curation left out: Table 3 of the paper.",
    },
    "judging": {
        "evaluate": "Score a run's attributions against labels or planted truth, by modality.",
        "judge": "Let a model label which sources support each sentence of a run's answers.",
        "agree": "Say how far two label files agree, by modality.",
        "options": "Say whether attributions point at the option that the model chose.",
        "baseline": "Predict sources by a simpler method: chance, embeddings, CLIP, the model.",
    },
    "causes": {
        "faithful": "Measure whether attributions are what caused the answers, without a model.",
        "compare": "Show where two attributions part ways, and what may explain it.",
        "learn-heads": "Learn from ablations which attention heads tell what answers need.",
        "benchmark": "Attribution methods side by side on prompts whose causes are known.",
    },
    "keeping": {
        "info": "Say what a run holds: samples, model, signals, bytes.",
        "du": "Say what a run takes on its disk, by signal, level and column.",
        "verify": "Check every file of a run, and with --deep every number's legality.",
        "gc": "Remove what killed writers left in a run.",
        "copy": "Copy a run, to another disk or store, checked.",
        "merge": "Unite runs that were recorded alike.",
        "export": "Write a run to one HDF5 file.",
        "import": "Make a run of an HDF5 file, or of what inseq or vLLM-Hook saved.",
    },
}
"""Folder → verb → what it does; a verb is the function of its name in the file of its name."""
TITLES = {
    "recording": "Record",
    "replaying": "Replay",
    "judging": "Judge",
    "causes": "Ask for causes",
    "keeping": "Keep",
}


def make_app() -> App:
    """The command line, each verb imported only when it is called or asked for help."""
    app = App(
        name="omnitrace",
        help="Which part of the input made the model say this? Record once, replay, browse.",
        version=__version__,
        group_commands=Group("Itself", sort_key=len(VERBS)),
        default_parameter=Parameter(negative=()),
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    for place, (folder, verbs) in enumerate(VERBS.items()):
        group = Group(TITLES[folder], sort_key=place)
        for order, (verb, help) in enumerate(verbs.items()):
            name = f"{verb}_" if iskeyword(verb) else verb.replace("-", "_")
            where = f"omnitrace.cli.{folder}.{name}:{name}"
            app.command(where, name=verb, help=help, group=group, sort_key=order)
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status: 0 done, 1 wrong data, 2 used wrongly."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        check_packages()
        status = make_app()(argv, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        return _complain(" ".join(str(error).split()), 2)
    except OmniTraceError as error:
        return _complain(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _complain("interrupted.", INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    return status if isinstance(status, int) else 0


def entry() -> NoReturn:
    """The console script."""
    sys.exit(main())


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _complain(message: str, status: int) -> int:
    print(f"omnitrace: {safe_text(message)}", file=sys.stderr)
    return status
