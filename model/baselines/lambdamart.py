"""LambdaMART by LightGBM: boosted trees whose gradients are weighted by the change in NDCG.

"From RankNet to LambdaRank to LambdaMART: An Overview" (Burges, MSR-TR-2010-82): for a clicked
item i and an unclicked j of one list, lambda_ij = sigmoid(s_j - s_i) |change in NDCG when i and j
swap|; each tree fits the sums of lambdas. Trees cannot embed sessions, so they get counts of past
items with the same value. Departures: none; the method is `lambdarank` of LightGBM.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import lightgbm
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.baselines.ranker import perturb_scores, top_scored_lists
from model.baselines.tree_features import TreeFeatures
from model.data.tables.batches import BatchLoader
from model.data.tables.log_tables import LogTables
from model.data.tables.split import TRAIN, VALIDATION
from model.nets.request_tensors import RequestTensors

_BATCH_SIZE = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LambdaMartSettings:
    """Settings of the trees; early stopping on validation NDCG chooses their number."""

    num_trees: int = 500
    patience: int = 30
    num_leaves: int = 31
    learning_rate: float = 0.05
    min_leaf_size: int = 50
    seed: int = 0


class LambdaMart:
    """Ranker that scores candidates with boosted trees."""

    def __init__(self, booster: lightgbm.Booster, features: TreeFeatures) -> None:
        self._booster, self._features = booster, features

    @classmethod
    def fit(cls, tables: LogTables, settings: LambdaMartSettings, folder: Path) -> LambdaMart:
        """Train trees on the training part, with early stopping on the validation part.

        The trees are saved in the folder; trees of the same log and settings are read instead.
        """
        features = TreeFeatures(tables.schema)
        model_file, identity = folder / "trees.txt", f"{tables.fingerprint} {settings}"
        if (
            model_file.exists()
            and (folder / "identity.txt").read_text(encoding="utf-8") == identity
        ):
            return cls(lightgbm.Booster(model_file=model_file), features)
        booster = _train_booster(tables, settings, features)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "identity.txt").write_text(identity, encoding="utf-8")
        booster.save_model(model_file)
        return cls(booster, features)

    def propose(self, request: RequestTensors, num_lists: int, rng: torch.Generator) -> Tensor:
        """See `Ranker.propose`."""
        scores = self._scores(request)
        return top_scored_lists(perturb_scores(scores, num_lists, rng), request)

    def _scores(self, request: RequestTensors) -> Tensor:
        valid = request.cand_valid.cpu().numpy()
        scores = np.zeros(valid.shape, dtype=np.float32)
        scores[valid] = self._booster.predict(
            self._features.feature_table(request)[valid], num_threads=1
        )
        return torch.from_numpy(scores).to(request.cand_valid.device)


def _train_booster(
    tables: LogTables, settings: LambdaMartSettings, features: TreeFeatures
) -> lightgbm.Booster:
    loader = BatchLoader(tables)
    train = _shown_dataset(loader, features, tables.part_rows(TRAIN))
    validation = _shown_dataset(loader, features, tables.part_rows(VALIDATION), reference=train)
    return lightgbm.train(
        {
            "objective": "lambdarank",
            "metric": "ndcg",
            "eval_at": [tables.slots],
            "lambdarank_truncation_level": tables.slots,
            "num_leaves": settings.num_leaves,
            "learning_rate": settings.learning_rate,
            "min_data_in_leaf": settings.min_leaf_size,
            "seed": settings.seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbosity": -1,
        },
        train,
        num_boost_round=settings.num_trees,
        valid_sets=[validation],
        callbacks=[lightgbm.early_stopping(settings.patience, verbose=False)],
    )


def _shown_dataset(
    loader: BatchLoader,
    features: TreeFeatures,
    rows: NDArray[np.int64],
    reference: lightgbm.Dataset | None = None,
) -> lightgbm.Dataset:
    """Features and clicks of shown items, grouped by list."""
    tables, labels, groups = [], [], []
    for start in range(0, len(rows), _BATCH_SIZE):
        batch = loader.gather(rows[start : start + _BATCH_SIZE])
        valid = batch.request.slot_valid.numpy()
        all_features = features.feature_table(batch.request)
        table = np.take_along_axis(all_features, batch.shown.numpy()[..., None], axis=1)
        tables.append(table[valid])
        labels.append(batch.clicks.numpy()[valid].astype(np.int32))
        groups.append(valid.sum(axis=1))
    return lightgbm.Dataset(
        np.concatenate(tables),
        np.concatenate(labels),
        group=np.concatenate(groups),
        categorical_feature=features.categorical_columns,
        reference=reference,
        params={"verbosity": -1},
    )
