"""What the use case found -> the answer's fields, as plain values of the wire format."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.contract.kernels.list_scoring import round_to
from model.contract.scoring.objective import RewardWeights
from model.contract.wire.request import RerankRequest
from model.contract.wire.response import DEGRADATION_REASONS, REQUEST_STAGES
from service.rerank.task import Found, Task

_DIGITS = 6  # of a probability or a reward
_STEPS = 10.0**_DIGITS


def write_answer(
    request: RerankRequest,
    task: Task,
    found: Found | None,
    *,
    facts: Mapping[str, Any],
    degraded: Collection[str],
    explanation: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The answer without its timings; `found` is None when no model answered (input order).

    facts: request_id, artifact.
    """
    places = (task.start if found is None else found.list)[: task.size].tolist()
    answer: dict[str, Any] = {
        "request_id": facts["request_id"],
        "items": _items(request, places, found),
        "reward": None,
        "input_reward": None,
        "objective": weights(task.objective),
        "lists_evaluated": 0,
        "artifact": facts["artifact"],
        "degraded": [reason for reason in DEGRADATION_REASONS if reason in degraded],
        "seed": task.seed,
    }
    if found is not None:
        answer["reward"] = round(found.reward, _DIGITS)
        answer["input_reward"] = round(found.input_reward, _DIGITS)
        answer["lists_evaluated"] = len(found.lists)
    if explanation is not None:
        answer["explanation"] = explanation
    return answer


def timings_ms(seconds: Mapping[str, float]) -> dict[str, float]:
    """Every stage of the wire format, 0 for one that did not run."""
    # rounded without a call for each: whole microseconds, and then the nearest number
    return {
        stage: (seconds[stage] * 1e6 + 0.5) // 1.0 / 1e3 if stage in seconds else 0.0
        for stage in REQUEST_STAGES
    }


def weights(objective: RewardWeights) -> dict[str, float]:
    """The objective on the wire."""
    return {
        "click": objective.click,
        "conversion": objective.conversion,
        "value": objective.value,
    }


def plain(values: NDArray[np.float64]) -> list[float]:
    """(n,) floats of an answer, short on the wire."""
    short = np.empty(len(values))
    round_to(values, _STEPS, short)
    rounded: list[float] = short.tolist()
    return rounded


def _items(request: RerankRequest, places: list[int], found: Found | None) -> list[dict[str, Any]]:
    ids = request.item_ids
    if found is None:
        return [
            {"item_id": ids[place], "slot": slot, "input_slot": place, "p_click": None}
            for slot, place in enumerate(places)
        ]
    if found.p_conversion is None:
        clicks = plain(found.p_click)
        return [
            {"item_id": ids[place], "slot": slot, "input_slot": place, "p_click": clicks[slot]}
            for slot, place in enumerate(places)
        ]
    clicks, conversions = plain(found.p_click), plain(found.p_conversion)
    return [
        {
            "item_id": ids[place],
            "slot": slot,
            "input_slot": place,
            "p_click": clicks[slot],
            "p_conversion": conversions[slot],
        }
        for slot, place in enumerate(places)
    ]
