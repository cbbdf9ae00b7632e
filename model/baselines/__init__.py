"""Published rerankers behind one interface, for benchmarks. Not served and not exported.

`ranker.py` defines the interface, `registry.py` lists the methods. Shape letters as in
`model.nets`.
"""
