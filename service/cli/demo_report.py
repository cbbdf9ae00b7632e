"""Report of the demo: one request of the later-in-time part, its list before and after."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from service.cli.demo_client import post_rerank

_MAX_REQUESTS_TRIED = 50  # requests searched for one with a changed list
_TITLE_WIDTH = 40


@dataclass(frozen=True, slots=True)
class DemoComparison:
    """One request, its response, and the response with every slot pinned to the input order.

    input_answer: the input list with the evaluator's predictions.
    reranked_answer: the served list.
    clicked_ids: item ids that the user clicked, None where clicks are not known.
    """

    request: dict[str, Any]
    input_answer: dict[str, Any]
    reranked_answer: dict[str, Any]
    clicked_ids: frozenset[str] | None


def find_changed_request(base: str, requests: Path) -> DemoComparison:
    """The first request whose list changes; the last one tried when none does."""
    with requests.open(encoding="utf-8", newline="\n") as lines:
        for line in islice(lines, _MAX_REQUESTS_TRIED):
            logged = json.loads(line)
            after = post_rerank(base, logged["request"])
            if [item["slot"] for item in after["items"]] != [
                item["input_slot"] for item in after["items"]
            ]:
                break
    return DemoComparison(
        request=logged["request"],
        input_answer=post_rerank(base, pin_input_order(logged["request"], len(after["items"]))),
        reranked_answer=after,
        clicked_ids=_clicked_ids(logged),
    )


def pin_input_order(request: dict[str, Any], slots: int) -> dict[str, Any]:
    """The same request with every slot pinned, so that the response evaluates the input list."""
    ids = request["candidates"]["item_id"][:slots]
    pins = [{"slot": slot, "item_id": item} for slot, item in enumerate(ids)]
    return {**request, "constraints": {"pinned": pins}}


def _clicked_ids(logged: Mapping[str, Any]) -> frozenset[str] | None:
    clicks = logged["labels"].get("clicks")
    if clicks is None:
        return None
    ids = logged["request"]["candidates"]["item_id"]
    return frozenset(item for item, click in zip(ids, clicks, strict=True) if click == 1)


def format_comparison(
    shown: DemoComparison, titles: Mapping[str, str], artifact: str
) -> Sequence[str]:
    """Both lists side by side, rewards and stage times, as lines of text."""
    after, before = shown.reranked_answer, shown.input_answer
    offered = len(shown.request["candidates"]["item_id"])
    lines = [
        "",
        f"user {shown.request['user_id']}, {offered} candidates, artifact {artifact}",
        "",
        f"{'slot':>4}  {'p_click':>7}  {'before':<{_TITLE_WIDTH + 2}}  {'p_click':>7}  after",
    ]
    for old, new in zip(before["items"], after["items"], strict=True):
        moved = "" if new["input_slot"] == new["slot"] else f"  (was {new['input_slot'] + 1})"
        lines.append(
            f"{old['slot'] + 1:>4}  {_format_p_click(old)}"
            f"  {_format_title(old, titles, shown.clicked_ids):<{_TITLE_WIDTH + 2}}"
            f"  {_format_p_click(new)}  {_format_title(new, titles, shown.clicked_ids)}{moved}"
        )
    if shown.clicked_ids is not None:
        lines.append("      * = the user did click it")
    lines += [
        "",
        f"reward {_format_reward(after['reward'])} against "
        f"{_format_reward(after['input_reward'])} of the input list, "
        f"{after['lists_evaluated']} lists evaluated",
        "milliseconds: "
        + ", ".join(f"{stage} {spent:.2f}" for stage, spent in after["timings_ms"].items()),
    ]
    if after["degraded"]:
        lines.append(f"degraded: {', '.join(after['degraded'])}")
    return lines


def _format_title(
    item: Mapping[str, Any], titles: Mapping[str, str], clicked: frozenset[str] | None
) -> str:
    title = titles.get(item["item_id"], item["item_id"])[:_TITLE_WIDTH]
    return f"* {title}" if clicked and item["item_id"] in clicked else f"  {title}"


def _format_p_click(item: Mapping[str, Any]) -> str:
    return f"{item['p_click']:7.3f}" if item["p_click"] is not None else f"{'-':>7}"


def _format_reward(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
