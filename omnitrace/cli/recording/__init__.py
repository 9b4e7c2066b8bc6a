"""Verbs that need a model, or prepare what a model will read."""
