"""Models as the recorder sees them: an adapter each, and what adapters share."""
