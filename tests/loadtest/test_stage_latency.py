from loadtest.stage_latency import latency_table, resize_candidates

LOGGED = [
    {
        "user_id": "u1",
        "candidates": {"item_id": ["a", "b"], "score": [2.0, 1.0], "features": {"km": [5, 6]}},
    },
    {
        "user_id": "u2",
        "candidates": {
            "item_id": ["b", "c", "d"],
            "score": [9.0, 8.0, 7.0],
            "features": {"km": [1, 2, 3]},
        },
    },
]


def test_resize_candidates_fills_without_duplicates():
    first, second = resize_candidates(LOGGED, 3)

    assert first["candidates"]["item_id"] == ["a", "b", "c"]
    assert first["candidates"]["score"] == [2.0, 1.0, 8.0]
    assert first["candidates"]["features"] == {"km": [5, 6, 2]}
    assert (second["user_id"], second["candidates"]["item_id"]) == ("u2", ["b", "c", "d"])


def test_resize_candidates_truncates_to_count():
    assert [r["candidates"]["item_id"] for r in resize_candidates(LOGGED, 1)] == [["a"], ["b"]]


def test_latency_table_sums_both_graph_stages():
    answers = [
        {"client_ms": 3.0, "timings_ms": {"generate": 1.0, "evaluate": 0.5}, "degraded": []},
        {"client_ms": 5.0, "timings_ms": {"generate": 2.0, "evaluate": 1.5}, "degraded": ["x"]},
    ]

    lines = latency_table(answers)

    # medians of 1.5 and 3.5, and 98 % or 99 % of the way from the one to the other
    assert lines[-2].split() == ["both", "graphs", "2.500", "3.480"]
    assert lines[-1] == "2 answers, 1 degraded"
