"""Verbs that set attributions beside labels, judges and simpler methods."""
