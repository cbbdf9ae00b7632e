"""Trains and measures configurations in the family of simulated worlds."""
