"""The configuration as controls: made from its fields, so that a new field is a new control."""

from __future__ import annotations

from tui.knobs.panel import Changed, Knobs

__all__ = ["Changed", "Knobs"]
