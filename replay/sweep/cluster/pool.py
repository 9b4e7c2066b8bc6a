"""Workers on a cluster instead of processes of this machine (`blocks.process_pool`)."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from omnitrace.engines.resources import Resources
from replay.sweep.blocks import MapBlocks, Work
from replay.sweep.cluster.on_jobs import job_pool
from replay.sweep.cluster.on_ray import ray_pool


@dataclass(frozen=True)
class Cluster:
    """Which engine starts the workers, what each gets, and where jobs keep their `logs`."""

    engine: Literal["slurm", "ray", "local"]
    resources: Resources
    logs: Path


def cluster_pool(work: Work, cluster: Cluster) -> AbstractContextManager[MapBlocks]:
    """As `process_pool`, on a cluster. Every worker opens the run of `work` again, from its place.

    Raises CommandError for what the engine refuses, OmniTraceError if a worker fails for good.
    """
    if cluster.engine == "ray":
        return ray_pool(work, cluster.resources)
    return job_pool(work, cluster.resources, cluster.engine, cluster.logs)
