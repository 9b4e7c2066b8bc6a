"""Other readings of one trace than in the order of generation: by source, and side by side."""
