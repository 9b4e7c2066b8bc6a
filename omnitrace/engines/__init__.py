"""Engines that start workers on many machines: Ray, and job schedulers by way of submitit.

Knows how workers are started, waited for and stopped; not what they do. Both engines are imported
only when they are used.
"""
