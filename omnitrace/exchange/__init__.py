"""Runs in other tools' files, and other tools' recordings as runs.

Every foreign byte is doubted here; what comes out of an import is a run like any other.
"""
