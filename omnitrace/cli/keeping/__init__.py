"""Verbs that look after runs: what they hold, whether it is whole, and where it goes."""
