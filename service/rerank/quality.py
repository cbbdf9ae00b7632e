"""What is counted of the quality of one search, for answers and for a canary in shadow alike."""

from __future__ import annotations

from model.contract.kernels.list_scoring import count_changes_and_clicks
from service.rerank.model import Model
from service.rerank.task import Found, Task
from service.telemetry import service_metrics


def count_quality(model: Model, task: Task, found: Found | None) -> None:
    """Predicted quality under the model's role; `found` is None when no model answered."""
    role = (model.role,)
    if task.size not in model.manifest.lengths.list_sizes:
        service_metrics.UNSEEN_LIST_SIZE.labels(model.role).inc()
    if found is None:
        service_metrics.LISTS_EVALUATED.labels(model.role).observe(0)
        return
    if found.unlawful:
        service_metrics.INFEASIBLE_LISTS.labels(model.role).inc(found.unlawful)
    changed, clicks = count_changes_and_clicks(found.list, task.start, found.p_click, task.size)
    service_metrics.LISTS_EVALUATED.series[role].observe(len(found.lists))
    service_metrics.REWARD_UPLIFT.series[role].observe(found.reward - found.input_reward)
    service_metrics.SERVED_REWARD.series[role].observe(found.reward)
    service_metrics.MEAN_P_CLICK.series[role].observe(clicks / task.size)
    service_metrics.CHANGED_SLOTS.series[role].observe(changed)
