"""What every benchmark needs: where it ran, with what, and how a claim is printed and kept."""

from __future__ import annotations

import datetime
import json
import os
import platform
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PACKAGES = ("omnitrace-replay", "numpy", "torch", "transformers", "zarr", "spacy")


@dataclass(frozen=True)
class Claim:
    """A measured value beside its target; `better` is `lower` or `higher`."""

    name: str
    value: float
    target: float
    better: str

    @property
    def holds(self) -> bool:
        return self.value <= self.target if self.better == "lower" else self.value >= self.target


def print_claims(claims: list[Claim]) -> None:
    """The last line of a benchmark run with `--json`."""
    print(json.dumps({"claims": [{**asdict(claim), "holds": claim.holds} for claim in claims]}))


def save(name: str, measured: dict[str, Any], suffix: str = "") -> Path:
    """Write what benchmark `name` measured to results/, with date, machine, versions, command."""
    document = {
        "date": datetime.date.today().isoformat(),
        "command": " ".join(["python", "-m", _module(name), *sys.argv[1:]]),
        "machine": machine(),
        "versions": {package: version(package) for package in PACKAGES if _is_there(package)},
        **measured,
    }
    path = RESULTS / f"{name}{suffix}.json"
    path.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    return path


def _is_there(package: str) -> bool:
    return any(distributions(name=package))


def _module(name: str) -> str:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return f"benchmarks.{name}" if spec is None else str(spec.name)


def put_between(path: Path, name: str, text: str) -> None:
    """Put `text` between the marks <!-- name:begin --> and <!-- name:end --> of a document."""
    begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->\n"
    before, rest = path.read_text("utf-8").split(begin)
    path.write_text(before + begin + text + end + rest.split(end)[1], "utf-8")


def peak_bytes() -> int:
    """Most bytes that this process held; `ru_maxrss` would begin with its parent's."""
    [line] = [x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x]
    return int(line.split()[1]) * 1024


def machine() -> str:
    """Processor, cores and Python, in words."""
    return f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if os.name == "posix" else []:
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor() or platform.machine()
