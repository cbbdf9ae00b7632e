"""A search result -> the fields of the response, as plain values of the wire format."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.contract.kernels.list_scoring import round_to
from model.contract.scoring.objective import RewardWeights
from model.contract.wire.request import RerankRequest
from model.contract.wire.response import DEGRADATION_REASONS, REQUEST_STAGES
from service.rerank.search_request import SearchRequest, SearchResult

_DIGITS = 6  # of a probability or a reward
_STEPS = 10.0**_DIGITS


def build_response(
    request: RerankRequest,
    search_request: SearchRequest,
    result: SearchResult | None,
    *,
    request_id: str,
    artifact: str,
    degraded: Collection[str],
    explanation: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The response without its timings; without a result, in input order."""
    served = search_request.input_list if result is None else result.chosen_list
    indices = served[: search_request.list_size].tolist()
    response: dict[str, Any] = {
        "request_id": request_id,
        "items": _items(request, indices, result),
        "reward": None,
        "input_reward": None,
        "objective": _objective_weights(search_request.objective),
        "lists_evaluated": 0,
        "artifact": artifact,
        "degraded": [reason for reason in DEGRADATION_REASONS if reason in degraded],
        "seed": search_request.seed,
    }
    if result is not None:
        response["reward"] = round(result.reward, _DIGITS)
        response["input_reward"] = round(result.input_reward, _DIGITS)
        response["lists_evaluated"] = len(result.lists)
    if explanation is not None:
        response["explanation"] = explanation
    return response


def timings_ms(seconds: Mapping[str, float]) -> dict[str, float]:
    """Milliseconds of every stage of the wire format, 0 for a stage that did not run."""
    # rounds to whole microseconds without a call to `round` for each stage
    return {
        stage: (seconds[stage] * 1e6 + 0.5) // 1.0 / 1e3 if stage in seconds else 0.0
        for stage in REQUEST_STAGES
    }


def round_values(values: NDArray[np.float64]) -> list[float]:
    """(n,) floats rounded to the digits of a response."""
    rounded = np.empty(len(values))
    round_to(values, _STEPS, rounded)
    floats: list[float] = rounded.tolist()
    return floats


def _objective_weights(objective: RewardWeights) -> dict[str, float]:
    return {
        "click": objective.click,
        "conversion": objective.conversion,
        "value": objective.value,
    }


def _items(
    request: RerankRequest, indices: list[int], result: SearchResult | None
) -> list[dict[str, Any]]:
    """The response's items by slot; `indices` are candidate indices."""
    ids = request.item_ids
    if result is None:
        return [
            {"item_id": ids[index], "slot": slot, "input_slot": index, "p_click": None}
            for slot, index in enumerate(indices)
        ]
    clicks = round_values(result.p_click)
    if result.p_conversion is None:
        return [
            {"item_id": ids[index], "slot": slot, "input_slot": index, "p_click": clicks[slot]}
            for slot, index in enumerate(indices)
        ]
    conversions = round_values(result.p_conversion)
    return [
        {
            "item_id": ids[index],
            "slot": slot,
            "input_slot": index,
            "p_click": clicks[slot],
            "p_conversion": conversions[slot],
        }
        for slot, index in enumerate(indices)
    ]
