"""Many spans under many configurations at once: the votes as arrays, and their curation.

Knows mapping, chunking and curation; no run, no gold and no sweep.
"""
