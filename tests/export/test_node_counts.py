"""How many nodes the exported graphs have: each costs about half a microsecond before it computes.

Counts of the file are the exporter's, those of a run are what ONNX Runtime makes of it. A bound is
what was measured on 2026-11-21 (torch 2.13.0, onnxruntime 1.31.1) and 2 %; fewer nodes lower it.
"""

import pytest

from export.batching import golden_requests
from export.graph_profile import profile
from export.graph_table import feeds_of
from export.graph_variants import TURNED_OFF
from model.contract.manifest import read_manifest
from tests.artifacts import EDITS, tiny_artifact

# Graphs of the tests' artifact: two edits, two members, four fields of a candidate.
MOST_WRITTEN = {"generator": 397, "generator_rules": 452, "evaluator": 205}  # 390, 444, 201
MOST_RUN = {"generator": 368, "generator_rules": 423, "evaluator": 199}  # 361, 415, 196


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_artifact(tmp_path_factory.mktemp("artifact"))


@pytest.mark.parametrize("graph", sorted(MOST_RUN))
def test_a_graph_has_no_more_nodes_than_when_it_was_measured(folder, graph):
    assert EDITS == 2  # more edits are more nodes
    entry = read_manifest(folder).graphs[graph]
    feeds = feeds_of(golden_requests(folder, None), 0)

    run = profile((folder / entry.file).read_bytes(), feeds, disabled=TURNED_OFF)

    assert entry.nodes <= MOST_WRITTEN[graph]
    assert run.nodes <= MOST_RUN[graph]
