"""How many nodes the exported graphs have: each costs about half a microsecond before it computes.

Counts of the file are the exporter's, those of a run are what ONNX Runtime makes of it. A bound is
what was measured on 2026-11-22 (torch 2.13.0, onnxruntime 1.31.1) and 2 %; fewer nodes lower it.
"""

import pytest

from export.batching import golden_requests
from export.graph_profile import profile
from export.graph_table import feeds_of
from export.graph_variants import TURNED_OFF, VARIANTS
from model.contract.manifest import read_manifest
from tests.artifacts import EDITS, KINDS, tiny_artifact

ROOM = 1.02
# (in the file, in a run), for the tests' artifacts: two edits, two members, four candidate fields.
MEASURED = {
    # 17 and 12 of the next four: products a request instead of one over all, so that no bit hangs
    # on who shares a run; 5 and 6: as many sessions as there are, for 15 % of the time
    ("nlgr", "generator"): (265, 253),
    ("nlgr", "generator_rules"): (326, 312),
    ("nlgr", "evaluator"): (59, 59),
    ("pair", "generator"): (299, 293),  # 18 of them: where lists begin, for fewer edits
    ("pair", "generator_rules"): (366, 358),  # and whether that obeys
    ("pair", "evaluator"): (46, 46),
    ("pair", "refiner"): (132, 132),
    ("pair", "refiner_rules"): (156, 156),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {kind: tiny_artifact(tmp_path_factory.mktemp(kind), kind) for kind in KINDS}


@pytest.mark.parametrize(("kind", "graph"), sorted(MEASURED))
def test_a_graph_has_no_more_nodes_than_when_it_was_measured(folders, kind, graph):
    assert EDITS == 2  # more edits are more nodes
    folder = folders[kind]
    graphs = read_manifest(folder).graphs
    generator = VARIANTS[0].open(folder / graphs["generator"].file)
    feeds = feeds_of(golden_requests(folder, None), 0, generator)
    entry = graphs[graph]

    run = profile(folder / entry.file, feeds, disabled=TURNED_OFF)

    written, ran = MEASURED[kind, graph]
    assert entry.nodes <= ROOM * written
    assert run.nodes <= ROOM * ran
