"""Baselines (paper, App. C.2): what claims to attribute a response without having watched it.

A baseline gives every pair of sentence and source a similarity, of which those from a threshold on
are kept, or it gives labels outright. Here is what needs no model; `recorder.baselines` has the
rest. What a baseline predicts is a labels file like a judge's.
"""
