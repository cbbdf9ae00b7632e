"""How many nodes the exported graphs have: each costs about half a microsecond before it computes.

Counts of the file are the exporter's, those of a run are what ONNX Runtime makes of it. A bound is
what was measured on 2026-11-22 (torch 2.13.0, onnxruntime 1.31.1) and 30 %.
"""

import pytest

from export.bench.batching_benefit import read_golden_requests
from export.bench.graph_report import graph_feeds
from export.bench.onnx_profile import profile_graph
from export.bench.session_variants import DISABLED_OPTIMIZERS, SESSION_VARIANTS
from model.contract.artifact.manifest import read_manifest
from tests.tiny_artifact import NET_CONFIGS, TINY_EDITS, tiny_artifact

NODE_COUNT_MARGIN = 1.30
# (in the file, in a run), for the tests' artifacts: two edits, two members, four candidate fields.
MEASURED_NODE_COUNTS = {
    # 17 and 12 of the next four: products a request instead of one over all, so that no bit hangs
    # on who shares a run; 5 and 6: as many sessions as there are, for 15 % of the time
    ("nlgr", "generator"): (265, 253),
    ("nlgr", "generator_rules"): (326, 312),
    ("nlgr", "evaluator"): (59, 59),
    ("pair", "generator"): (299, 293),  # 18 of them: where lists begin, for fewer edits
    ("pair", "generator_rules"): (366, 358),  # and whether that obeys
    ("pair", "evaluator"): (66, 66),
    ("pair", "refiner"): (202, 202),
    ("pair", "refiner_rules"): (226, 226),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {kind: tiny_artifact(tmp_path_factory.mktemp(kind), kind) for kind in NET_CONFIGS}


@pytest.mark.parametrize(("kind", "graph"), sorted(MEASURED_NODE_COUNTS))
def test_graph_node_count_stays_near_measured(folders, kind, graph):
    assert TINY_EDITS == 2  # more edits are more nodes
    folder = folders[kind]
    graphs = read_manifest(folder).graphs
    generator = SESSION_VARIANTS[0].open_session(folder / graphs["generator"].file)
    feeds = graph_feeds(read_golden_requests(folder, None), 0, generator)
    entry = graphs[graph]

    run = profile_graph(folder / entry.file, feeds, disabled_optimizers=DISABLED_OPTIMIZERS)

    written, ran = MEASURED_NODE_COUNTS[kind, graph]
    assert entry.nodes <= NODE_COUNT_MARGIN * written
    assert run.node_count <= NODE_COUNT_MARGIN * ran
