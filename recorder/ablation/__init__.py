"""Ablations: parts of a recorded prompt are taken away, to measure which the response needs."""
