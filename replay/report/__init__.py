"""Reports: a run's attributions as one HTML page, as rows, as JSON, or as tables for a paper.

Knows attributions, golds and analyses; no model. What a page needs (jinja2, matplotlib, Pillow,
pyarrow) is loaded only where it is used.
"""
