"""Evaluates trained networks on the test part of a log and compares them with baselines."""
