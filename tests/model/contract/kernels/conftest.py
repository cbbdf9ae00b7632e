"""Tests of the compiler need the extra [fast]; all others run without it."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("numba") is not None else ["test_compilation.py"]
