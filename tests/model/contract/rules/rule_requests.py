"""Candidates with brands and tags, and constraints on them, compiled."""

from __future__ import annotations

import numpy as np

from model.contract.encoding.encoder import FeatureEncoder
from model.contract.rules.compiler import compile_rules
from model.contract.wire.constraints import Constraints

SLOTS = 5  # M of the graphs; lists may be shorter


def encode_sample_candidates(schema, brands, tags=None):
    """Ids and encoded rows of candidates with these brands and tags."""
    encoder = FeatureEncoder(schema)
    count = len(brands)
    values = {"brand": brands, "tags": tags or [None] * count}
    items = encoder.encode_items(np.full(count, -1), values)
    valid = np.ones(count, dtype=bool)
    both = [items, encoder.encode_candidate_scope(None, valid, {"distance": [None] * count})]
    return [f"i{at}" for at in range(count)], np.concatenate(both, axis=1)


def compile_sample_rules(schema, constraints, brands, tags=None, *, list_size=SLOTS):
    ids, rows = encode_sample_candidates(schema, brands, tags)
    return compile_rules(
        Constraints.model_validate(constraints),
        schema=schema,
        item_ids=ids,
        rows=rows,
        slots=SLOTS,
        list_size=list_size,
    )


def compiled_start_list(schema, constraints, brands, tags=None, *, list_size=SLOTS):
    return (
        compile_sample_rules(schema, constraints, brands, tags, list_size=list_size)
        .start_list[:list_size]
        .tolist()
    )
