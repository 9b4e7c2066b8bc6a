"""Runs on a disk or an object store: immutable segments, commit markers, what was added later.

Knows names and bytes of files, never their medium; no model, no replay, no terminal.
"""
