"""Recording on many machines. An engine only starts what `record` does; the run is the queue.

What is committed is done, so that a worker which dies loses its open segment, and running the same
command again records what is missing. Engines are imported only when they are used.
"""
