"""A small run with media, hostile where that was asked for, and pages taken apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import cast

from omnitrace.store.run import Run, open_run
from omnitrace.store.writer import RunWriter
from omnitrace.timeline import Segmentation, Segments
from omnitrace.trace import Trace
from replay import PRESETS, ReplayConfig
from replay.analyses import Material, material_of
from replay.evaluation import golds_of_truths
from replay.report.formats import Job, write_report
from tests.build import make_trace
from tests.replay.analyses.golds import FACT, PICTURE, TONE, truth_of

HOSTILE = (
    "</script><script>window.hacked = 1</script>",
    '"><img src=x onerror="window.hacked = 2">',
    "</style></title><svg onload=window.hacked=3>",
    "' onfocus='window.hacked=4' autofocus x='",
    "{{ 7 * 7 }}{% raw %}<!--",
    "right\u202eleft\u2066 \u2028line\x1b[31m\x00\x85",
)
VOID = {"meta", "img", "br", "link", "input", "path", "rect", "use"}


def write_run(path: Path, *traces: Trace) -> Path:
    """A run of the traces."""
    with RunWriter.open(path, {"model": "tiny", "signals": ["attmean", "rawatt"]}) as writer:
        for trace in traces:
            writer.add(trace, f"key-{trace.id}")
    return path


def job_of(path: Path, *, labels: bool = False, **over: object) -> Job:
    """A job on that run, with the truth about the small trace."""
    run = open_run(path)
    material = material_of(run, PRESETS["paper"])
    if labels:
        truths = {id: truth_of((FACT,), (PICTURE,), (TONE,), id=id) for id in run}
        golds = golds_of_truths(run, truths)
        answers = {id: truth.answer for id, truth in truths.items()}
        material = replace(material, golds=golds, answers=answers)
    return replace(Job(run, material), **over)  # type: ignore[arg-type]


def page_of(job: Job, path: Path) -> str:
    """The page of a job, written to `path` as a user's would be."""
    write_report(job, path)
    return path.read_text("utf-8")


def hostile_trace() -> Trace:
    """A trace whose every text is an attack, of unchanged lengths where offsets hold."""
    trace = make_trace(HOSTILE[0] + HOSTILE[3])
    response, prompt = (
        (" ".join(HOSTILE) * 3)[: len(text)] for text in (trace.response, trace.prompt_text)
    )
    media = tuple(replace(one, name=HOSTILE[number + 1]) for number, one in enumerate(trace.media))
    return replace(trace, response=response, prompt_text=prompt, media=media)


def spoken(trace: Trace) -> tuple[Trace, ReplayConfig]:
    """The trace with a transcript that attacks, and a configuration that shows it."""
    said = Segments.of([(0.0, 1.5, HOSTILE[2]), (1.5, 3.0, HOSTILE[1])])
    units = replace(PRESETS["paper"].units, audio_segments="words")
    heard = replace(trace, segmentations={"words": Segmentation("words", {1: said})})
    return heard, replace(PRESETS["paper"], units=units)


@dataclass
class Taken(HTMLParser):
    """A page taken apart: (tag, attributes) of every element, the scripts, and the text."""

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    text: str = ""
    stack: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        while self.stack and self.stack.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] == "script":
            self.scripts.append(data)
        elif not self.stack or self.stack[-1] != "style":
            self.text += data


def taken(page: str) -> Taken:
    """The page taken apart."""
    parser = Taken()
    parser.feed(page)
    parser.close()
    return parser


class _Strange(Mapping[str, Trace]):
    """A run of one trace whose facts attack too."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.path = HOSTILE[2]
        self.identity = {"model": HOSTILE[0], HOSTILE[1]: list(HOSTILE)}
        self.created_by = {"omnitrace": HOSTILE[3]}

    def __getitem__(self, id: str) -> Trace:
        return {self.trace.id: self.trace}[id]

    def __iter__(self) -> Iterator[str]:
        yield self.trace.id

    def __len__(self) -> int:
        return 1


def hostile_job() -> Job:
    """A job of which every text is an attack: id, prompt, answer, media, transcript, facts."""
    trace, config = spoken(hostile_trace())
    run = _Strange(trace)
    return Job(cast("Run", run), Material(run, config))
