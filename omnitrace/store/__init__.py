"""Runs on a disk or an object store: immutable segments, commit markers, what was added later.

Knows names and bytes of files, never where they lie; no model, no replay, no terminal.
"""
