"""Traces and answers on a terminal. May import omnitrace, replay and textual; must not know torch."""
