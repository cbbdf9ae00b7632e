"""Rerankers of the field behind one interface, to be compared with ours. Never served or exported.

`ranker.py` says what a method is, `registry.py` names them all. Shape letters as in `model.nets`.
"""
