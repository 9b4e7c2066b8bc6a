"""Traces in, answers out, on a CPU with no model: mass, mapping, spans, votes, curation.

May import omnitrace and numpy; must not know torch, transformers, spacy, recorder or tui.
"""
