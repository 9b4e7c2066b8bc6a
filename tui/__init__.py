"""Traces and answers on a terminal. May import omnitrace, replay, textual; must not know torch."""

from __future__ import annotations

from tui.app import BrowseApp, Start, browse

__all__ = ["BrowseApp", "Start", "browse"]
