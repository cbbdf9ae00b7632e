"""Bounds of a request's own values, which both readings of a body share."""

MAX_ID = 256  # characters
MAX_SEED = 2**63 - 1
DEFAULT_NUM_LISTS = 8
