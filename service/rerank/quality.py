"""What is counted of the quality of one search, for answers and for a candidate in shadow alike."""

from __future__ import annotations

from model.contract.choice_kernel import compare_lists
from service.rerank.model import Model
from service.rerank.task import Found, Task
from service.telemetry import metrics


def count_quality(model: Model, task: Task, found: Found | None) -> None:
    """Predicted quality under the model's role; `found` is None when no model answered."""
    role = (model.role,)
    if task.size not in model.manifest.lengths.list_sizes:
        metrics.UNSEEN_LIST_SIZE.labels(model.role).inc()
    if found is None:
        metrics.LISTS_EVALUATED.labels(model.role).observe(0)
        return
    if found.unlawful:
        metrics.UNLAWFUL_LISTS.labels(model.role).inc(found.unlawful)
    changed, clicks = compare_lists(found.list, task.start, found.p_click, task.size)
    metrics.LISTS_EVALUATED.series[role].observe(len(found.lists))
    metrics.UPLIFT.series[role].observe(found.reward - found.input_reward)
    metrics.REWARD.series[role].observe(found.reward)
    metrics.P_CLICK.series[role].observe(clicks / task.size)
    metrics.CHANGED_SLOTS.series[role].observe(changed)
