"""Baselines that ask a model: its embeddings, CLIP's, or the model itself (paper, App. C.2).

Each is one file with `load(identity, config)`. They know traces, chunks and models; not labels,
which replay makes of what comes out here.
"""
