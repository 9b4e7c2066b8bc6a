"""Verbs that set attributions beside what the answer depends on."""
