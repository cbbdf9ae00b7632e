"""Evaluates one trained generator and evaluator on the test part of their log."""
