"""Workers on a cluster in place of processes of this machine (`replay.sweep.blocks.team`)."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from omnitrace.engines.resources import Resources
from replay.sweep.blocks import Team, Work
from replay.sweep.cluster.on_jobs import job_team
from replay.sweep.cluster.on_ray import ray_team


@dataclass(frozen=True)
class Cluster:
    """Which engine starts the workers, what each gets, and where jobs keep their `logs`."""

    engine: Literal["slurm", "ray", "local"]
    resources: Resources
    logs: Path


def cluster_team(work: Work, cluster: Cluster) -> AbstractContextManager[Team]:
    """As `team`, on a cluster. The run of `work` is opened anew by every worker, from where it
    lies: `located`.

    Raises CommandError for what the engine refuses, OmniTraceError if a worker fails for good.
    """
    if cluster.engine == "ray":
        return ray_team(work, cluster.resources)
    return job_team(work, cluster.resources, cluster.engine, cluster.logs)
