"""Runs: open one and read its traces. Placeholder until the store lands."""

from __future__ import annotations


class Run: ...


def open_run(path: str) -> Run:
    raise NotImplementedError
