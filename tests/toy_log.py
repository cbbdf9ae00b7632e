"""A small synthetic canonical log with a signal worth learning, for the tests of every room.

Written straight with pyarrow, so that it does not lean on the code that reads it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

TOY_START_MS, HOUR_MS = 1_700_000_000_000, 3_600_000
TOY_BRANDS = ("acme", "bolt", "crux", "dune", "echo")
TOY_TAGS = ("new", "sale", "eco", "gift")
SEGMENTS = ("thrifty", "quick", "loyal")
DEVICES = ("phone", "laptop")

TOY_SCHEMA_TOML = """
[[field]]
name = "brand"
scope = "item"
kind = "categorical"

[[field]]
name = "price"
scope = "item"
kind = "numeric"
buckets = "quantile:8"

[[field]]
name = "tags"
scope = "item"
kind = "multi"
max_values = 2

[[field]]
name = "segment"
scope = "user"
kind = "categorical"

[[field]]
name = "device"
scope = "context"
kind = "categorical"

[[field]]
name = "distance"
scope = "candidate"
kind = "numeric"
buckets = "quantile:8"

[display]
title = "title"
"""


def write_toy_log(  # noqa: PLR0913 - each is a knob that some test turns
    folder: Path,
    *,
    requests: int = 200,
    users: int = 20,
    items: int = 60,
    candidates: int = 12,
    slots: int = 4,
    seed: int = 0,
    ragged: bool = True,
    split: str = "time",
    files: int = 2,
    all_labels: bool = False,
) -> Path:
    """Write a canonical log into `folder` and return it.

    Clicks follow each user's liking of brands, the distance and the slot, and one click makes the
    same brand less wanted further down. Where `ragged`, every fifth request has fewer candidates
    and every seventh a shorter list. `all_labels` adds the labels of all candidates.
    """
    rng = np.random.default_rng(seed)
    (folder / "impressions").mkdir(parents=True, exist_ok=True)
    (folder / "schema.toml").write_text(TOY_SCHEMA_TOML, encoding="utf-8")
    (folder / "log.toml").write_text(
        f'name = "toy"\nsplit = "{split}"\nshares = [0.7, 0.15, 0.15]\nsimulated = true\n',
        encoding="utf-8",
    )
    brand = rng.integers(len(TOY_BRANDS), size=items)
    _write_items(folder, brand, rng)
    segment = rng.integers(len(SEGMENTS), size=users)
    pq.write_table(
        pa.table(
            {
                "user_id": [f"u{u}" for u in range(users)],
                "segment": [SEGMENTS[s] if u % 9 else None for u, s in enumerate(segment)],
            }
        ),
        folder / "users.parquet",
    )
    liking = rng.normal(0.0, 1.2, (users, len(TOY_BRANDS)))
    quality = rng.normal(0.0, 0.7, items)
    rows = []
    for r in range(requests):
        n = candidates - (
            int(rng.integers(1, candidates - slots + 1)) if ragged and r % 5 == 4 else 0
        )
        m = slots - (1 if ragged and r % 7 == 6 and slots > 1 else 0)
        user = int(rng.integers(users))
        rows.append(_request(rng, r, user, n, m, (brand, quality, liking[user])))
    truths = [row.pop("truth") for row in rows]
    for at, part in enumerate(np.array_split(np.arange(requests), files)):
        table = pa.Table.from_pylist([rows[int(i)] for i in part], schema=_IMPRESSIONS)
        pq.write_table(table, folder / "impressions" / f"part-{at}.parquet")
    if all_labels:
        pq.write_table(pa.Table.from_pylist(truths, schema=_TRUTH), folder / "truth.parquet")
    return folder


_LABELS = pa.list_(pa.int8())
_IMPRESSIONS = pa.schema(
    {
        "request_id": pa.string(),
        "user_id": pa.string(),
        "timestamp": pa.int64(),
        "candidates": pa.list_(pa.string()),
        "upstream_scores": pa.list_(pa.float32()),
        "shown": pa.list_(pa.string()),
        "clicks": _LABELS,
        "conversions": _LABELS,
        "device": pa.string(),
        "distance": pa.list_(pa.float32()),
    }
)
_TRUTH = pa.schema({"request_id": pa.string(), "clicks": _LABELS, "conversions": _LABELS})


def _write_items(folder: Path, brand: np.ndarray, rng: np.random.Generator) -> None:
    price = np.round(np.exp(rng.normal(2.0, 0.6, len(brand))), 2)
    tags = [[str(t) for t in rng.permutation(TOY_TAGS)[: rng.integers(4)]] for _ in brand]
    pq.write_table(
        pa.table(
            {
                "item_id": [f"i{i}" for i in range(len(brand))],
                "brand": [TOY_BRANDS[b] for b in brand],
                "price": pa.array([None if i % 11 == 10 else p for i, p in enumerate(price)]),
                "tags": pa.array(tags, type=pa.list_(pa.string())),
                "title": [f"Item {i} by {TOY_BRANDS[b]}" for i, b in enumerate(brand)],
            }
        ),
        folder / "items.parquet",
    )


def _request(
    rng: np.random.Generator,
    r: int,
    user: int,
    n: int,
    m: int,
    world: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> dict[str, Any]:
    brand, quality, liking = world
    distance = rng.exponential(2.0, len(brand)).astype(np.float32)
    appeal = quality + liking[brand] - 0.4 * distance
    score = appeal + rng.normal(0.0, 1.0, len(brand))
    offered = rng.permutation(len(brand))[:n]
    offered = offered[np.argsort(-score[offered])]
    shown = offered[np.argsort(-(score[offered] + rng.gumbel(0.0, 0.5, n)))][:m]
    seen: set[int] = set()
    clicks, conversions = [], []
    for slot, item in enumerate(shown):
        want = appeal[item] - 0.3 * slot - 1.5 * (int(brand[item]) in seen)
        seen.add(int(brand[item]))
        clicks.append(int(rng.random() < 1 / (1 + np.exp(-want))))
        conversions.append(int(clicks[-1] and rng.random() < 1 / (1 + np.exp(-quality[item]))))
    known = dict(zip(shown.tolist(), zip(clicks, conversions, strict=True), strict=True))
    labels = [known.get(int(i), (int(appeal[i] > 0.5), 0)) for i in offered]
    return {
        "request_id": f"q{r}",
        "user_id": f"u{user}",
        "timestamp": TOY_START_MS + (r // 2) * HOUR_MS,  # pairs of requests share a time
        "candidates": [f"i{i}" for i in offered],
        "upstream_scores": None if r % 13 == 12 else [float(score[i]) for i in offered],
        "shown": [f"i{i}" for i in shown],
        "clicks": clicks,
        "conversions": None if r % 10 == 9 else conversions,
        "device": DEVICES[int(rng.integers(2))],
        "distance": [None if i % 17 == 16 else float(distance[i]) for i in offered],
        "truth": {
            "request_id": f"q{r}",
            "clicks": [c for c, _ in labels],
            "conversions": [c for _, c in labels],
        },
    }


def enable_raw_scores(folder: Path) -> None:
    """Let the nets of a toy log see upstream's score itself, too."""
    schema = folder / "schema.toml"
    offered = 'upstream = ["score", "rank", "raw_score"]\n'
    schema.write_text(offered + schema.read_text(encoding="utf-8"), encoding="utf-8")


def omit_fields(folder: Path, *names: str) -> None:
    """Take fields out of the schema of a toy log; their columns stay in its files."""
    schema = folder / "schema.toml"
    head, *fields = schema.read_text(encoding="utf-8").split("[[field]]\n")
    kept = [field for field in fields if not any(f'name = "{name}"' in field for name in names)]
    display = "" if fields[-1] in kept else "[display]" + fields[-1].partition("[display]")[2]
    schema.write_text("[[field]]\n".join([head, *kept]) + display, encoding="utf-8")
