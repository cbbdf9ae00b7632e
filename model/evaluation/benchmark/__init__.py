"""Trains all methods on the same logs and writes a page that compares them."""
