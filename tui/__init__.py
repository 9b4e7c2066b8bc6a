"""Traces and answers on a terminal. May import omnitrace, replay, textual; must not know torch."""

from __future__ import annotations

from tui.app import BrowseApp, Start, browse
from tui.labels import Labels

__all__ = ["BrowseApp", "Labels", "Start", "browse"]
