"""The page: one self-contained HTML file, written sample by sample. Jinja only here.

Everything printed goes through `safe_text` and autoescape; what is trusted (our style, script and
figures) is marked so here and nowhere else. The policy in its head lets the page load nothing and
run no script but ours.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from omnitrace.errors import extra
from omnitrace.text import one_line, safe_text
from omnitrace.version import __version__
from replay.analyses.figure import inline_svg
from replay.analyses.result import Result, Table
from replay.report.sample import SampleView

if TYPE_CHECKING:
    from jinja2 import Environment

DATA = "replay.report", "data"


@dataclass(frozen=True)
class Front:
    """What stands before the samples.

    `facts`: (name, value) of the run and the configuration; `tables`, `figures`: by heading;
    `names`: the ids of the samples that follow, in their order.
    """

    title: str
    subtitle: str
    facts: Sequence[tuple[str, str]]
    notes: Sequence[str]
    tables: Sequence[tuple[str, Table]]
    figures: Sequence[Result]
    names: Sequence[str]


def page(front: Front, samples: Iterable[SampleView], notes: Sequence[str] = ()) -> Iterator[str]:
    """The page in pieces; samples are drawn one at a time, `notes` read after the last.

    CommandError without jinja2 or matplotlib.
    """
    environment = _environment()
    from markupsafe import Markup

    script = _read("report.js")
    figures = [(r.title, Markup(inline_svg(r)), r.table()) for r in front.figures]
    yield environment.get_template("page.html").render(
        title=front.title,
        subtitle=front.subtitle,
        facts=front.facts,
        notes=front.notes,
        tables=front.tables,
        figures=figures,
        names=front.names,
        style=Markup(_read("report.css")),
        script_hash=_hash(script),
    )
    template = environment.get_template("sample.html")
    for sample in samples:
        yield template.render(sample=sample)
    yield environment.get_template("end.html").render(
        notes=notes, version=__version__, script=Markup(script)
    )


@lru_cache(maxsize=1)
def _environment() -> Environment:
    with extra("report", "a page needs"):
        from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        autoescape=True,
        finalize=_finalize,
        loader=FunctionLoader(_read),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["one_line"] = one_line
    return environment


def _finalize(value: Any) -> Any:
    """Plain strings without controls; what is marked as trusted as it is."""
    return safe_text(value) if type(value) is str else value


def _read(name: str) -> str:
    package, folder = DATA
    return resources.files(package).joinpath(folder, name).read_text("utf-8")


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
