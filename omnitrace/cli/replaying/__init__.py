"""Verbs that attribute what was recorded, and show it."""
