"""Models in, traces out: adapters, capture, signals, POS tags, the recording loop.

May import omnitrace, torch, transformers and spacy; must not know replay or tui.
"""
