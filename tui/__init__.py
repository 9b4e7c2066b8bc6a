"""Traces and answers on a terminal. May import omnitrace, replay, textual; must not know torch."""
