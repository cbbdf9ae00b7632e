"""Feasibility of lists from the graphs, whatever the graphs return."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from model.contract.wire.request import parse_request
from service.inference.artifact_reader import Artifact
from service.rerank.graph_calls import run_sequentially
from service.rerank.list_search import evaluate_lists, feasible, generate_feasible_lists
from service.rerank.search_request import Lists, SearchRequest
from tests.service.asking import body_of, model_of, search_request_of

N, SIZE = 6, 3


@pytest.fixture
async def search_request(artifact: Artifact) -> SearchRequest:
    ids = list(artifact.items.ids[:N])
    body = body_of(artifact, candidates={"item_id": ids}, list_size=SIZE)
    request = parse_request(json.dumps(body).encode())
    return await search_request_of(model_of(artifact), request, seed=1)


def lists_of(request: SearchRequest, *rows: list[int], beyond: int = 0) -> Lists:
    """Lists (L, M) with these rows, and with `beyond` in the slots after the list size."""
    lists = np.full((len(rows), len(request.input_list)), beyond, dtype=np.int32)
    lists[:, :SIZE] = rows
    return lists


@pytest.mark.parametrize("constrained", [False, True])
def test_feasible_rejects_unknown_and_repeated_candidates(search_request, constrained):
    lists = lists_of(
        search_request, [0, 1, 2], [5, 0, 3], [1, 2, 1], [0, 1, N], [-1, 0, 1], [4, 4, 4]
    )

    ok = feasible(lists, replace(search_request, has_constraints=constrained))

    assert ok == [True, True, False, False, False, False]


def test_slots_beyond_the_list_size_are_ignored(artifact, search_request):
    beyond = lists_of(search_request, [2, 0, 1], [1, 2, 0], beyond=N + 3)
    assert len(search_request.input_list) > SIZE
    assert feasible(beyond, search_request) == [True, True]

    class Graphs:
        """Graphs that return the test's lists; the evaluator gets no index out of bounds."""

        def generate(self, arrays: Any, *, rules: bool) -> Lists:
            return np.concatenate([beyond, lists_of(search_request, [3, 3, 3])])[None]

        def evaluate(self, arrays: Any) -> tuple[np.ndarray, None]:
            self.lists = arrays["lists"]
            return np.ones((2, *self.lists.shape), np.float32), None

        def refine(self, arrays: Any, *, rules: bool) -> Lists:
            return np.asarray(arrays["at"])

    graphs = Graphs()
    kept = run_sequentially(graphs, generate_feasible_lists(search_request, artifact.manifest, 3))
    assert kept.tolist() == beyond.tolist()  # the third repeats an item

    result = run_sequentially(graphs, evaluate_lists(search_request, artifact.manifest, kept))
    assert (result.lists[:, SIZE:] == 0).all()
    assert graphs.lists[0].tolist() == result.lists.tolist()
    assert result.lists[:, :SIZE].tolist() == [
        [2, 0, 1],
        [1, 2, 0],
        search_request.input_list[:SIZE].tolist(),
    ]
