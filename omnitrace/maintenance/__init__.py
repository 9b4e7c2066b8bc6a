"""Maintenance of runs: verification, disk usage, removal of leftovers, copies, unions.

Knows the files of a run and what they must say; no model, no screen.
"""
