"""The run view: all samples at a glance, filtered, sorted, measured."""
