"""The flags by which a command hands its work to a cluster, the same for every verb that can."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from cyclopts import Parameter

from omnitrace.engines.resources import Resources
from omnitrace.errors import CommandError


@dataclass(frozen=True)
class Workers:
    """The engine that starts workers, how many, and options of the engine."""

    cluster: Annotated[
        Literal["slurm", "ray", "local"] | None,
        Parameter(help="share the samples out among workers; local: processes of this machine"),
    ] = None
    workers: Annotated[int, Parameter(help="how many, with --cluster")] = 1
    engine: Annotated[
        dict[str, str] | None,
        Parameter(help="what the engine is asked for besides: --engine.slurm-partition gpu"),
    ] = None

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise CommandError("--workers is at least 1.")
        if self.cluster is None and (self.workers > 1 or self.engine):
            raise CommandError(
                "--workers and --engine go with --cluster, which names the engine: slurm, ray, or "
                "local."
            )

    def resources(self, gpus: int = 0) -> Resources:
        """The resources that the engine needs; CommandError for a negative number."""
        if gpus < 0:
            raise CommandError("--gpus is at least 0.")
        options = {key.replace("-", "_"): value for key, value in (self.engine or {}).items()}
        return Resources(self.workers, gpus, options)


HERE = Workers()
"""No cluster."""
