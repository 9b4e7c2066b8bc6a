"""The `omnitrace` command: the verbs of all rooms, joined by name, and the one catcher of errors.

A verb is imported when it is called: `omnitrace info` starts without torch, spacy and textual.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import FrameType
from typing import NoReturn

from cyclopts import App, CycloptsError, Group, Parameter

from omnitrace.cli.packages import check_packages
from omnitrace.errors import OmniTraceError
from omnitrace.text import safe_text
from omnitrace.version import __version__

INTERRUPTED = 130

ROOMS = ("recorder.cli", "replay.cli", "tui.cli", "omnitrace.cli.keeping")
"""The modules whose table `VERBS` has the verbs: name → heading, function, help."""

VERBS = {
    "demo": (
        "Record",
        "omnitrace.cli.demo:demo",
        "Record, replay and show the bundled samples: everything in one minute.",
    ),
    "confirm": (
        "Ask for causes",
        "omnitrace.cli.confirm:confirm",
        "Remove the best sources of each answer, to see whether it needs them.",
    ),
    "benchmark": (
        "Ask for causes",
        "omnitrace.cli.benchmark:benchmark",
        "Attribution methods side by side on prompts whose causes are known.",
    ),
}
"""The verbs that need both the recorder and replay."""

HEADINGS = ("Record", "Replay", "Judge", "Ask for causes", "Keep")
"""In the order of the help."""


def make_app() -> App:
    """The command line, each verb imported only when it is called, or for its help."""
    app = App(
        name="omnitrace",
        help="Which part of the input made the model say this? Record once, replay, browse.",
        version=__version__,
        group_commands=Group("Itself", sort_key=len(HEADINGS)),
        default_parameter=Parameter(negative=()),
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    groups = {heading: Group(heading, sort_key=place) for place, heading in enumerate(HEADINGS)}
    tables = [VERBS, *(import_module(room).VERBS for room in ROOMS)]
    verbs = [(name, *verb) for table in tables for name, verb in table.items()]
    for place, (name, heading, function, help) in enumerate(verbs):
        app.command(function, name=name, help=help, group=groups[heading], sort_key=place)
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
