"""Generate, score and refine lists of a batch of requests, with ONNX Runtime and plain numpy.

Shared by the reference service and the mosec worker. What defines an answer (noise, reward,
selection) is the contract's. Shape letters: B requests, N candidates, K generated lists, L scored
lists, M slots, E evaluator members.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from loadtest.bench.reference_encoding import ReferenceArrays
from model.contract.artifact.manifest import (
    EVALUATOR_GRAPH,
    GENERATOR_GRAPH,
    REFINER_GRAPH,
    Manifest,
)
from model.contract.kernels.compilation import compile_kernels, select_implementation
from model.contract.scoring.local_search import iterate_local_search, refiner_fixed_inputs
from model.contract.scoring.noise import request_noise
from model.contract.scoring.objective import compute_rewards, select_lists


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedList:
    """The selected list of one request.

    indices: (m,) candidate indices, one a shown slot.
    p_click: (m,) mean over the evaluator's members.
    reward, input_reward: means over the members, of the selected and of the input list.
    """

    indices: NDArray[Any]
    p_click: NDArray[Any]
    reward: float
    input_reward: float


class ReferenceSearch:
    """The graphs of one artifact, and the search for the best list of each request."""

    def __init__(self, folder: Path, manifest: Manifest, *, threads: int) -> None:
        self.manifest = manifest
        if select_implementation("auto") == "numba":  # the service's default
            compile_kernels()
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads  # 0 is ONNX Runtime's own choice
        self.sessions = {
            name: ort.InferenceSession(folder / graph.file, options)
            for name, graph in manifest.graphs.items()
            if name in (GENERATOR_GRAPH, EVALUATOR_GRAPH, REFINER_GRAPH)
        }
        self.input_names = {
            name: [i.name for i in session.get_inputs()] for name, session in self.sessions.items()
        }

    def select(
        self, encoded: Sequence[ReferenceArrays], seeds: Sequence[int], num_lists: int
    ) -> list[SelectedList]:
        """The best list of each request; one run of each graph for all of them.

        Args:
            encoded: arrays of each request with a leading axis of 1, all with the same N.
            seeds: one a request.
            num_lists: K.
        """
        arrays = {
            name: np.concatenate([request[name] for request in encoded]) for name in encoded[0]
        }
        lists, p_click, rewards = self._search(arrays, seeds, num_lists)
        least = self.manifest.min_relative_gain
        selected = select_lists(rewards, self.manifest.risk_aversion, least)
        shown = min(self.manifest.lengths.default_list_size, arrays["candidates"].shape[1])
        mean_click, mean_reward = p_click.mean(axis=0), rewards.mean(axis=0)
        return [
            SelectedList(
                indices=lists[row, index, :shown],
                p_click=mean_click[row, index, :shown],
                reward=float(mean_reward[row, index]),
                input_reward=float(mean_reward[row, -1]),
            )
            for row, index in enumerate(selected)
        ]

    def _search(
        self, arrays: ReferenceArrays, seeds: Sequence[int], num_lists: int
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Lists (B, L, M) with the input list last, their p_click (E, B, L, M) and rewards."""
        arrays |= self._generator_inputs(arrays, seeds, num_lists)
        start, rows = arrays["start"], np.arange(len(seeds))
        lists, arrays["known"], arrays["context"] = self._run(GENERATOR_GRAPH, arrays)
        lists = np.concatenate([lists, start[:, None]], axis=1)
        p_click, rewards = self._score_lists(arrays, lists)
        best = lists[rows, select_lists(rewards, self.manifest.risk_aversion)]
        refined = self._refine(arrays, best) if self.manifest.refine_rounds else best
        if (refined == best).all():
            return lists, p_click, rewards
        lists = np.concatenate([lists[:, :-1], refined[:, None], start[:, None]], axis=1)
        return lists, *self._score_lists(arrays, lists)

    def _generator_inputs(
        self, arrays: ReferenceArrays, seeds: Sequence[int], num_lists: int
    ) -> ReferenceArrays:
        sizes = self.manifest.lengths
        batch, candidates = len(seeds), arrays["candidates"].shape[1]
        noise = [
            request_noise(
                seed=seed,
                lists=num_lists,
                edits=sizes.edits,
                slots=sizes.slots,
                candidates=candidates,
                scale=self.manifest.noise_scale,
            )
            for seed in seeds
        ]
        shown = np.arange(sizes.slots) < min(sizes.default_list_size, candidates)
        slot_valid = np.tile(shown, (batch, 1))
        made = {
            "cand_valid": np.ones((batch, candidates), dtype=bool),
            "slot_valid": slot_valid,
            "start": np.where(slot_valid, np.arange(sizes.slots), 0).astype(np.int32),
            "editable": slot_valid,
            "noise_slot": np.stack([slot for slot, _ in noise]),
            "noise_item": np.stack([item for _, item in noise]),
        }
        weights = self.manifest.objective.reward_weights
        return made | refiner_fixed_inputs(arrays | made, weights, None)

    def _score_lists(
        self, arrays: ReferenceArrays, lists: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """p_click (E, B, L, M) and rewards (E, B, L) of lists."""
        p_click, p_conversion = self._run(EVALUATOR_GRAPH, arrays | {"lists": lists})
        trained_conversion = p_conversion if self.manifest.converts else None
        weights = self.manifest.objective.reward_weights
        rewards = compute_rewards(p_click, trained_conversion, None, arrays["slot_valid"], weights)
        return p_click, rewards

    def _refine(self, arrays: ReferenceArrays, lists: NDArray[Any]) -> NDArray[Any]:
        """Lists (B, M) after hill climbing from `lists`."""

        def step(current: NDArray[Any]) -> NDArray[Any]:
            stepped: NDArray[Any] = self._run(REFINER_GRAPH, arrays | {"at": current})[0]
            return stepped

        return iterate_local_search(step, lists, self.manifest.refine_rounds)

    def _run(self, graph: str, arrays: ReferenceArrays) -> list[NDArray[Any]]:
        feeds = {name: arrays[name] for name in self.input_names[graph]}
        return list(self.sessions[graph].run(None, feeds))
