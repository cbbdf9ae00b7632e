"""A small invented data set in the layout of the wheel that the adapters read."""

import zipfile
from pathlib import Path

import numpy as np

FOLDER = "recbole/dataset_example/ml-100k/ml-100k"
GENRES = ("Action", "Comedy", "Drama", "Sci-Fi")
START, EVENING = 880_000_000, 86_400


def write_ratings_wheel(path: Path, *, users: int = 40, items: int = 150, seed: int = 0) -> Path:
    """Users rate 15 to 120 items in one to four evenings, many in the same second."""
    rng = np.random.default_rng(seed)
    liking = rng.normal(size=(users, 4)) @ rng.normal(size=(4, items)) / 2
    inter = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
    for user in range(users):
        rated = rng.permutation(items)[: rng.integers(15, 120)]
        evening = np.sort(rng.integers(0, rng.integers(1, 5), len(rated)))
        second = START + EVENING * (3 * evening + int(rng.integers(50)))
        second = second + np.sort(rng.integers(0, 200, len(rated)))
        stars = np.clip(np.round(3.3 + liking[user, rated] + rng.normal(0, 0.5, len(rated))), 1, 5)
        inter += [
            f"{user + 1}\t{item + 1}\t{int(s)}\t{t}"
            for item, s, t in zip(rated, stars, second, strict=True)
        ]
    kinds = [rng.permutation(GENRES)[: rng.integers(1, 4)] for _ in range(items)]
    item = ["item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"]
    item += [f"{i + 1}\tFilm {i}\t{1950 + i % 50}\t{' '.join(k)}" for i, k in enumerate(kinds)]
    item[1] = "1\tThe Lost Year (1987)\tV\tDrama"
    item[2] = "2\tunkonwn\tunkonwn\tunknown"
    people = ["user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token"]
    people += [f"{u + 1}\t{20 + u}\t{'MF'[u % 2]}\twriter\t00000" for u in range(users)]
    with zipfile.ZipFile(path, "w") as archive:
        for kind, lines in (("inter", inter), ("item", item), ("user", people)):
            archive.writestr(f"{FOLDER}.{kind}", "\n".join(lines) + "\n")
    return path
