"""What the service takes of the graph's lists, whatever the graph says."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from model.contract.wire.request import parse_request
from service.inference.artifact import Artifact
from service.rerank.search import evaluate, generate, lawful
from service.rerank.steps import answered
from service.rerank.task import Lists, Task
from tests.service.asking import body_of, model_of, task_of

N, SIZE = 6, 3


@pytest.fixture
async def task(artifact: Artifact) -> Task:
    ids = list(artifact.items.ids[:N])
    body = body_of(artifact, candidates={"item_id": ids}, list_size=SIZE)
    request = parse_request(json.dumps(body).encode())
    return await task_of(model_of(artifact), request, seed=1)


def of(task: Task, *rows: list[int], beyond: int = 0) -> Lists:
    """Lists of the graph's length that say something in slots which the list has not."""
    lists = np.full((len(rows), len(task.start)), beyond, dtype=np.int32)
    lists[:, :SIZE] = rows
    return lists


@pytest.mark.parametrize("ruled", [False, True])
def test_a_list_holds_candidates_only_and_none_twice(task, ruled):
    lists = of(task, [0, 1, 2], [5, 0, 3], [1, 2, 1], [0, 1, N], [-1, 0, 1], [4, 4, 4])

    ok = lawful(lists, replace(task, ruled=ruled))

    assert ok == [True, True, False, False, False, False]


def test_what_the_graph_says_beyond_the_list_neither_counts_nor_is_served(artifact, task):
    beyond = of(task, [2, 0, 1], [1, 2, 0], beyond=N + 3)
    assert len(task.start) > SIZE
    assert lawful(beyond, task) == [True, True]

    class Graphs:
        """Graphs that say what the test says; the evaluator has seen no list out of bounds."""

        def generate(self, arrays: Any, *, rules: bool) -> Lists:
            return np.concatenate([beyond, of(task, [3, 3, 3])])[None]

        def evaluate(self, arrays: Any) -> tuple[np.ndarray, None]:
            self.lists = arrays["lists"]
            return np.ones((2, *self.lists.shape), np.float32), None

        def refine(self, arrays: Any, *, rules: bool) -> Lists:
            return np.asarray(arrays["at"])

    graphs = Graphs()
    kept = answered(graphs, generate(task, artifact.manifest, 3))
    assert kept.tolist() == beyond.tolist()  # the third holds an item three times

    found = answered(graphs, evaluate(task, artifact.manifest, kept))
    assert (found.lists[:, SIZE:] == 0).all()
    assert graphs.lists[0].tolist() == found.lists.tolist()
    assert found.lists[:, :SIZE].tolist() == [[2, 0, 1], [1, 2, 0], task.start[:SIZE].tolist()]
