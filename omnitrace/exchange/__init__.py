"""Runs in other tools' files, and other tools' recordings as runs.

Every foreign byte is checked here; the result of an import is a run like any other.
"""
