"""Care of runs that exist: whether they are whole, what they take, what may go, copies, unions.

Knows the files of a run and what they must say; no model, no screen.
"""
