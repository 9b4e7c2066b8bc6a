"""One pass of a batch through a model, and what looks on: rows, gradients, memory."""
