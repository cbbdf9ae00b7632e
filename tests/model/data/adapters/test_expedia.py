from pathlib import Path

import pytest

from model.data.adapters.dataset_list import convert_dataset
from model.data.adapters.log_builder import BuilderOptions
from model.data.errors import SourceInvalid
from model.data.log.limits import ListLimits
from tests.model.data.adapters.converted_log import ConvertedLog

COMPETITORS = [
    f"comp{n}_{name}" for n in range(1, 9) for name in ("rate", "inv", "rate_percent_diff")
]
HEADER = [
    "srch_id",
    "date_time",
    "site_id",
    "visitor_location_country_id",
    "visitor_hist_starrating",
    "visitor_hist_adr_usd",
    "prop_country_id",
    "prop_id",
    "prop_starrating",
    "prop_review_score",
    "prop_brand_bool",
    "prop_location_score1",
    "prop_location_score2",
    "prop_log_historical_price",
    "position",
    "price_usd",
    "promotion_flag",
    "srch_destination_id",
    "srch_length_of_stay",
    "srch_booking_window",
    "srch_adults_count",
    "srch_children_count",
    "srch_room_count",
    "srch_saturday_night_bool",
    "srch_query_affinity_score",
    "orig_destination_distance",
    "random_bool",
    *COMPETITORS,
    "click_bool",
    "gross_bookings_usd",
    "booking_bool",
]


def hotel_row(search: int, position: int, hotel: int, **values: object) -> str:
    """One line; columns that are not given hold plain values, NULL where a gap is usual."""
    row: dict[str, object] = dict.fromkeys(HEADER, "NULL")
    row |= {
        "srch_id": search,
        "date_time": f"2013-04-{1 + search // 24:02} {search % 24:02}:00:00",
        "site_id": 5,
        "visitor_location_country_id": 219,
        "prop_country_id": 219,
        "prop_id": hotel,
        "prop_starrating": hotel % 5,
        "prop_brand_bool": 1,
        "position": position,
        "price_usd": 100 + hotel,
        "promotion_flag": 0,
        "srch_destination_id": search % 3,
        "srch_length_of_stay": 2,
        "srch_saturday_night_bool": 1,
        "random_bool": 0,
        "comp1_rate": 1,
        "comp2_rate": -1,
        "comp3_rate": 1,
        "click_bool": 0,
        "booking_bool": 0,
    }
    return ",".join(str((row | values)[name]) for name in HEADER)


def write_expedia(folder: Path, extra: list[str] | None = None) -> Path:
    """train.csv with rows of a search apart and out of order; position 5 is an advertisement."""
    folder.mkdir()
    rows = [
        hotel_row(search, position, 10 + (search + position) % 8, click_bool=int(position == 2))
        for position in (6, 2, 1, 3, 4)
        for search in range(24)
    ]
    (folder / "train.csv").write_text("\n".join([",".join(HEADER), *rows, *(extra or [])]) + "\n")
    return folder


RANDOM_ROWS = [
    hotel_row(50, p, 10 + p, random_bool=1, booking_bool=int(p == 3)) for p in range(1, 9)
]


def test_expedia_searches_become_requests(tmp_path: Path):
    log = ConvertedLog("expedia", write_expedia(tmp_path / "expedia"))

    row = log.requests["9"]
    assert row["candidates"] == row["shown"] == ["12", "13", "14", "15", "17"]
    assert row["clicks"] == [0, 1, 0, 0, 0]
    assert row["price_usd"] == [112, 113, 114, 115, 117]
    assert row["competitors_dearer"] == [2] * 5
    assert row["competitors_cheaper"] == [1] * 5
    assert row["orig_destination_distance"] == [None] * 5
    assert row["random_order"] == "0"
    assert row["timestamp"] == 1_364_806_800_000  # 2013-04-01 09:00 UTC
    assert log.entities("items.parquet", "item_id")["13"]["prop_starrating"] == 3
    assert "24 requests read, 24 written" in log.summary
    assert len(log.tables) == 24


def test_expedia_random_search_has_shuffled_candidates(tmp_path: Path):
    source = write_expedia(tmp_path / "expedia", RANDOM_ROWS)
    first = ConvertedLog("expedia", source).requests["50"]
    again = ConvertedLog("expedia", source).requests["50"]
    other = ConvertedLog("expedia", source, seed=1).requests["50"]

    assert first["shown"] == [str(10 + p) for p in range(1, 9)]
    assert first["candidates"] != first["shown"]
    assert sorted(first["candidates"]) == first["shown"]
    assert first["price_usd"] == [100 + int(hotel) for hotel in first["candidates"]]
    assert first["clicks"] == first["conversions"] == [0, 0, 1, 0, 0, 0, 0, 0]
    assert first["random_order"] == "1"
    assert first == again
    assert other["candidates"] != first["candidates"]


def test_expedia_repeated_hotel_keeps_first_place(tmp_path: Path):
    extra = [
        hotel_row(60, 1, 11, booking_bool=0),
        hotel_row(60, 2, 12),
        hotel_row(60, 3, 11, click_bool=1, booking_bool=1),
    ]
    log = ConvertedLog("expedia", write_expedia(tmp_path / "expedia", extra))

    row = log.requests["60"]
    assert row["shown"] == ["11", "12"]
    assert row["clicks"] == row["conversions"] == [1, 0]
    assert "1 repeated items left out" in log.summary


def test_expedia_test_file_without_position_is_refused(tmp_path: Path):
    (tmp_path / "expedia").mkdir()
    columns = [name for name in HEADER if name != "position"]
    (tmp_path / "expedia" / "train.csv").write_text(",".join(columns) + "\n")

    with pytest.raises(
        SourceInvalid, match=r"train\.csv, column 'position': missing; the file has"
    ):
        convert_dataset(
            "expedia", tmp_path / "expedia", tmp_path / "log", BuilderOptions(limits=ListLimits())
        )
