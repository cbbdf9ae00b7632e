"""Metrics of predicted quality, recorded for responses and for a canary in shadow."""

from __future__ import annotations

from model.contract.kernels.list_scoring import count_changes_and_clicks
from service.rerank.artifact_slot import ServingModel
from service.rerank.search_request import SearchRequest, SearchResult
from service.telemetry import service_metrics


def record_quality_metrics(
    model: ServingModel, request: SearchRequest, result: SearchResult | None
) -> None:
    """Record predicted quality under the model's role; None stands for the input order."""
    role = (model.role,)
    if request.list_size not in model.manifest.lengths.list_sizes:
        service_metrics.UNSEEN_LIST_SIZE.labels(model.role).inc()
    if result is None:
        service_metrics.LISTS_EVALUATED.labels(model.role).observe(0)
        return
    if result.infeasible_lists:
        service_metrics.INFEASIBLE_LISTS.labels(model.role).inc(result.infeasible_lists)
    changed, clicks = count_changes_and_clicks(
        result.chosen_list, request.input_list, result.p_click, request.list_size
    )
    service_metrics.LISTS_EVALUATED.series[role].observe(len(result.lists))
    service_metrics.REWARD_UPLIFT.series[role].observe(result.reward - result.input_reward)
    service_metrics.SERVED_REWARD.series[role].observe(result.reward)
    service_metrics.MEAN_P_CLICK.series[role].observe(clicks / request.list_size)
    service_metrics.CHANGED_SLOTS.series[role].observe(changed)
