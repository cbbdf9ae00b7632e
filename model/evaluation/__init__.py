"""Measures nets offline: one trained pair (`pair/`) or all methods (`comparison/`)."""
