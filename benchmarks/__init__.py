"""One script a claim; each prints its numbers, and `--json` ends with one line of claims."""
