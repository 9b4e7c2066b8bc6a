"""Sweeps: thousands of configurations over a run, the expensive steps done once, the best held out.

Knows traces, golds and configurations; no model, no terminal.
"""
