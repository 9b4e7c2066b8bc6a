"""One pass of a batch through a model, and what is recorded of it: rows, gradients, memory."""
