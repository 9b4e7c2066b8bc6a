"""Taking parts of a recorded prompt away, to see which of them the response needs."""
