from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.data.adapters.dataset_list import convert_dataset
from model.data.adapters.log_builder import BuilderOptions
from model.data.errors import SourceInvalid
from model.data.log.limits import ListLimits
from tests.model.data.adapters.converted_log import ConvertedLog

START = datetime(2023, 5, 18, 7)
ARTICLES, REQUESTS = 10, 30


def write_ebnerd(folder: Path) -> Path:
    """The five files of a bundle, with a gap in every column that may hold one."""
    for split in ("train", "validation"):
        (folder / split).mkdir(parents=True)
    articles = [
        {
            "article_id": 9_000_000 + i,
            "title": f"Nyhed {i} æøå",
            "category_str": ("sport", "krimi", "nyheder")[i % 3],
            "published_time": START - timedelta(hours=i) if i else None,
            "article_type": "article_default",
            "sentiment_label": "Negative" if i % 2 else None,
            "premium": i % 4 == 0,
            "topics": ["Kendt", "Sport"][: i % 3],
            "total_inviews": 5,
        }
        for i in range(ARTICLES)
    ]
    pq.write_table(pa.Table.from_pylist(articles), folder / "articles.parquet")
    train = [behavior(n, [n, n + 1, n + 4], [n + 1]) for n in range(REQUESTS)]
    train += [
        behavior(100, [], []),
        behavior(101, None, None),
        behavior(102, [1, 2], [3]),
        behavior(103, [1, 1, 2], [1]),
        behavior(103, [1, 2], [1]),
        {**behavior(104, [1, 2], [2]), "impression_time": None},
        {**behavior(105, [1, 2], [2]), "user_id": 99, "age": 40.0, "gender": 1.0},
    ]
    pq.write_table(pa.Table.from_pylist(train), folder / "train" / "behaviors.parquet")
    later = [behavior(200 + n, [n, n + 2], [n]) for n in range(3)]
    pq.write_table(pa.Table.from_pylist(later), folder / "validation" / "behaviors.parquet")
    for split, articles_read in (("train", [1, 4, 2]), ("validation", [2, 2, 2, 2])):
        history = {
            "user_id": [0, 1],
            "article_id_fixed": [[9_000_000 + a for a in articles_read], None],
        }
        pq.write_table(pa.table(history), folder / split / "history.parquet")
    return folder


def behavior(
    number: int, in_view: list[int] | None, clicked: list[int] | None
) -> dict[str, object]:
    def ids(articles):
        return None if articles is None else [9_000_000 + a % ARTICLES for a in articles]

    return {
        "impression_id": number,
        "user_id": number % 3,
        "impression_time": START + timedelta(hours=number),
        "article_ids_inview": ids(in_view),
        "article_ids_clicked": ids(clicked),
        "device_type": 1 + number % 2,
        "is_sso_user": False,
        "is_subscriber": True,
        "gender": None,
        "postcode": None,
        "age": None,
        "read_time": 3.0,
    }


def test_ebnerd_requests_are_converted_and_drops_counted(tmp_path: Path):
    log = ConvertedLog("ebnerd", write_ebnerd(tmp_path / "ebnerd"))

    rows = log.requests
    row = rows["train-2-2"]
    assert row["shown"] == row["candidates"] == ["9000002", "9000003", "9000006"]
    assert row["clicks"] == [0, 1, 0]
    assert row["age_hours"] == [4.0, 5.0, 8.0]
    assert row["device_type"] == "1"
    # earlier shows: 2 in request 1, 3 never, 6 never; earlier click: 2 in request 1
    assert row["shows_before"] == [1, 0, 0]
    assert row["clicks_before"] == [1, 0, 0]
    assert rows["train-103-1"]["candidates"] == ["9000001", "9000002"]
    assert rows["train-105-99"]["age"] == 40.0
    for count in (
        "40 requests read, 35 written",
        "dropped 2: no candidates",
        "dropped 1: a click on an article not in view",
        "dropped 1: a gap in an id or the time",
        "dropped 1: repeated request id",
        "1 repeated items left out",
        "field 'postcode' left out: no value in the first half",
        "field 'gender' left out: no value in the first half",
    ):
        assert count in log.summary


def test_ebnerd_history_is_the_earliest_of_user(tmp_path: Path):
    log = ConvertedLog("ebnerd", write_ebnerd(tmp_path / "ebnerd"))

    users = log.entities("users.parquet", "user_id")
    assert users["0"] == {
        "user_id": "0",
        "history_length": 3.0,
        "history_categories": ["krimi", "nyheder"],
    }
    assert users["1"]["history_categories"] == []
    assert users["99"]["history_length"] is None
    items = log.entities("items.parquet", "item_id")
    assert items["9000002"]["title"] == "Nyhed 2 æøå"
    assert items["9000002"]["topics"] == ["Kendt", "Sport"]
    assert len(log.tables) == 35


def test_ebnerd_missing_column_names_it(tmp_path: Path):
    source = write_ebnerd(tmp_path / "ebnerd")
    path = source / "train" / "behaviors.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["article_ids_inview"]), path)

    with pytest.raises(SourceInvalid, match="column 'article_ids_inview': missing; the file has"):
        convert_dataset("ebnerd", source, tmp_path / "log", BuilderOptions(limits=ListLimits()))
