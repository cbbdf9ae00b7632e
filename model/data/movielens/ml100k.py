"""ML-100K as it lies in the wheel: tab-separated files with typed headers -> plain columns."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from model.contract.text_files import split_lines
from model.data.errors import DownloadFailed
from model.data.log.ragged import IntArray

_FOLDER = "recbole/dataset_example/ml-100k/ml-100k"
_NO_GENRE = "unknown"
_YEAR_IN_TITLE = re.compile(r"\((\d{4})\)\s*$")


@dataclass(frozen=True)
class Ratings:
    """Ratings ordered by time: places of user and item, stars 1-5, Unix second; all (V,) int64."""

    user: IntArray
    item: IntArray
    stars: IntArray
    timestamp_s: IntArray


@dataclass(frozen=True)
class MovieLensData:
    """The whole data set; items and users by place."""

    item_ids: list[str]
    titles: list[str]
    years: list[int | None]
    genres: list[list[str]]
    user_ids: list[str]
    ages: list[int]
    genders: list[str]
    occupations: list[str]
    ratings: Ratings

    @cached_property
    def genre_matrix(self) -> NDArray[np.float64]:
        """(I, G) 1 where an item has a genre."""
        names = sorted({name for names in self.genres for name in names})
        place = {name: g for g, name in enumerate(names)}
        out = np.zeros((len(self.genres), len(names)))
        for i, several in enumerate(self.genres):
            out[i, [place[name] for name in several]] = 1.0
        return out

    def item_table(self) -> pa.Table:
        """Items as a canonical log wants them."""
        return pa.table(
            {
                "item_id": self.item_ids,
                "title": self.titles,
                "release_year": pa.array(self.years, pa.float64()),
                "genres": pa.array(self.genres, pa.list_(pa.string())),
            }
        )

    def user_table(self) -> pa.Table:
        """Users as a canonical log wants them."""
        return pa.table(
            {
                "user_id": self.user_ids,
                "age": pa.array(self.ages, pa.float64()),
                "gender": self.genders,
                "occupation": self.occupations,
            }
        )


def read_ml100k(wheel: Path) -> MovieLensData:
    """Read the three files out of the wheel."""
    items = _columns(wheel, "item", ["item_id", "movie_title", "release_year", "class"])
    users = _columns(wheel, "user", ["user_id", "age", "gender", "occupation"])
    logged = _columns(wheel, "inter", ["user_id", "item_id", "rating", "timestamp"])
    user_place = {name: i for i, name in enumerate(users["user_id"])}
    item_place = {name: i for i, name in enumerate(items["item_id"])}
    user = np.asarray([user_place[name] for name in logged["user_id"]], dtype=np.int64)
    item = np.asarray([item_place[name] for name in logged["item_id"]], dtype=np.int64)
    stars = np.asarray(logged["rating"], dtype=np.float64).astype(np.int64)
    second = np.asarray(logged["timestamp"], dtype=np.float64).astype(np.int64)
    order = np.lexsort((item, user, second))
    titles = items["movie_title"]
    return MovieLensData(
        item_ids=items["item_id"],
        titles=titles,
        years=[_year(y, t) for y, t in zip(items["release_year"], titles, strict=True)],
        genres=[[g for g in names.split() if g != _NO_GENRE] for names in items["class"]],
        user_ids=users["user_id"],
        ages=[int(age) for age in users["age"]],
        genders=users["gender"],
        occupations=users["occupation"],
        ratings=Ratings(user[order], item[order], stars[order], second[order]),
    )


def _year(given: str, title: str) -> int | None:
    """The release year; where the column is garbled it may still stand in the title."""
    if given.isdigit():
        return int(given)
    found = _YEAR_IN_TITLE.search(title)
    return int(found.group(1)) if found else None


def _columns(wheel: Path, kind: str, names: list[str]) -> dict[str, list[str]]:
    """The named columns of one tab-separated file, whose header says `name:type`."""
    file = f"{_FOLDER}.{kind}"
    try:
        with zipfile.ZipFile(wheel) as archive:
            lines = split_lines(archive.read(file).decode("utf-8").replace("\r\n", "\n"))
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise DownloadFailed(source=str(wheel), reason=f"holds no readable {file}") from error
    header = [column.split(":")[0] for column in lines[0].split("\t")]
    missing = [name for name in names if name not in header]
    if missing:
        raise DownloadFailed(source=file, reason=f"has no column {missing[0]}")
    rows = list(zip(*(line.split("\t") for line in lines[1:]), strict=True))
    return {name: list(rows[header.index(name)]) for name in names}
