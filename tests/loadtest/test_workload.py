"""Users by a Zipf law, each with requests of his own."""

import json
import math
import random
from collections import Counter
from typing import Any

import pytest

from loadtest.workload import RequestOverrides, WorkloadError, read_workload

DRAWS = 40_000


def log_line(user: str, at: int, items: list[str]) -> str:
    scores = [round(1.0 - 0.1 * i, 1) for i in range(len(items))]
    candidates = {"item_id": items, "score": scores}
    request = {"request_id": f"{user}-{at}", "user_id": user, "candidates": candidates}
    return json.dumps({"request": request, "labels": {}})


@pytest.fixture
def logged(tmp_path):
    """Users "u0".."u9": "u3" has three requests, "u5" two, the others one; items carry names."""
    lines = []
    for user in range(10):
        for at in range({3: 3, 5: 2}.get(user, 1)):
            lines.append(log_line(f"u{user}", at, [f"{user}.{at}.{i}" for i in range(4)]))
    path = tmp_path / "requests.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def sampled_requests(path, exponent: float) -> list[dict[str, Any]]:
    rng = random.Random(11)
    traffic = read_workload(path, exponent, RequestOverrides())
    return [json.loads(traffic.sample_body(rng)) for _ in range(DRAWS)]


@pytest.mark.parametrize("exponent", [0.0, 0.8, 1.2])
def test_workload_users_follow_zipf_law(logged, exponent):
    counts = Counter(body["user_id"] for body in sampled_requests(logged, exponent))

    ranked = ["u3", "u5", "u0", "u1", "u2", "u4", "u6", "u7", "u8", "u9"]
    weights = [1 / (rank**exponent) for rank in range(1, 11)]
    for user, weight in zip(ranked, weights, strict=True):
        p = weight / sum(weights)
        sigma = math.sqrt(DRAWS * p * (1 - p))
        assert abs(counts[user] - DRAWS * p) < 4.5 * sigma, (user, counts[user])


def test_workload_user_sends_only_own_requests(logged):
    asked: dict[str, set[str]] = {}
    for body in sampled_requests(logged, 1.0):
        items = body["candidates"]["item_id"]
        asked.setdefault(body["user_id"], set()).add(items[0])
        assert all(item.startswith(body["user_id"][1:] + ".") for item in items)

    assert asked["u3"] == {"3.0.0", "3.1.0", "3.2.0"}
    assert asked["u5"] == {"5.0.0", "5.1.0"}


def test_workload_bodies_omit_request_id(logged):
    assert all("request_id" not in body for body in sampled_requests(logged, 1.0)[:50])


def test_workload_fills_candidates_from_same_user_first(logged):
    traffic = read_workload(
        logged, 5.0, RequestOverrides(candidates=10, num_lists=3, budget_ms=25.0)
    )
    rng = random.Random(2)
    bodies = [json.loads(traffic.sample_body(rng)) for _ in range(200)]

    first = next(b for b in bodies if b["candidates"]["item_id"][0] == "3.0.0")
    assert first["candidates"]["item_id"] == [
        *(f"3.0.{i}" for i in range(4)),
        *(f"3.1.{i}" for i in range(4)),
        *(f"3.2.{i}" for i in range(2)),
    ]
    assert (first["num_lists"], first["budget_ms"]) == (3, 25.0)
    assert len(first["candidates"]["score"]) == 10


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "is empty"),
        ("not json\n", ":1 is no logged request"),
        (log_line("a", 0, ["x"]) + '\n{"labels": {}}\n', ":2 is no logged request: KeyError"),
        (log_line("a", 0, []) + "\n", ":1 is no logged request: .*a user and candidates"),
    ],
)
def test_read_workload_malformed_line_raises_with_number(tmp_path, text, rule):
    path = tmp_path / "requests.jsonl"
    path.write_text(text)

    with pytest.raises(WorkloadError, match=rule):
        read_workload(path, 1.0, RequestOverrides())


def test_read_workload_missing_file_or_items_raise(logged, tmp_path):
    with pytest.raises(WorkloadError, match=r"nowhere.jsonl cannot be read: No such file"):
        read_workload(tmp_path / "nowhere.jsonl", 1.0, RequestOverrides())
    with pytest.raises(WorkloadError, match="holds 52 different items, not 53"):
        read_workload(logged, 1.0, RequestOverrides(candidates=53))


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\u0085", "\x1c", "\x0b"])
def test_read_workload_line_separator_stays_in_string(tmp_path, separator):
    item = f"a{separator}b"
    line = json.dumps({"request": {"user_id": "u", "candidates": {"item_id": [item]}}},
                      ensure_ascii=False)  # fmt: skip
    path = tmp_path / "requests.jsonl"
    path.write_text(line + "\n" + line + "\n", encoding="utf-8", newline="\n")

    for request in sampled_requests(path, 1.0):
        assert request["candidates"]["item_id"] == [item]
