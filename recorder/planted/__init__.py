"""Planted evidence: samples of which it is known what causes each sentence of the answer."""
