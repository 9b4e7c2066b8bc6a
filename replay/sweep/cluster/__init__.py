"""Sweeps on many machines: workers on Ray, or jobs of a scheduler, score the blocks.

Knows blocks and what a worker makes of them, not what a sweep is to find. What comes back is the
same, bit for bit, as in one process: the same blocks, added up in the same order.
"""
