"""Writes a canonical log request by request, in parts, and counts what was dropped and why.

Holds one part and the distinct ids in memory.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from model.contract.schema.declared import (
    ITEM_ID,
    UPSTREAM_FIELDS,
    USER_ID,
    DeclaredField,
    FieldKind,
    FieldScope,
    read_schema,
)
from model.data.adapters.impression_row import ImpressionRow, drop_reason, without_repeated_items
from model.data.adapters.item_counters import CLICKS_BEFORE, SHOWS_BEFORE, ItemCounters
from model.data.adapters.user_sample import UserSample
from model.data.log.limits import MAX_TIMESTAMP_MS, ListLimits
from model.data.log.log_info import LogInfo, write_log_info
from model.data.log.log_reader import IMPRESSIONS_DIR, ITEMS_PARQUET, SCHEMA_TOML, USERS_PARQUET
from model.data.log.log_writer import write_impressions

EntityRows = Iterable[tuple[str, Mapping[str, Any]]]
_PART_REQUESTS, _PART_CANDIDATES, _ENTITY_ROWS = 20_000, 1_000_000, 50_000
_NEVER = MAX_TIMESTAMP_MS + 1
_VALUE_TYPES = {
    FieldKind.CATEGORICAL: pa.string(),
    FieldKind.NUMERIC: pa.float64(),
    FieldKind.MULTI: pa.list_(pa.string()),
}
_TEXTS, _FLAGS = pa.list_(pa.string()), pa.list_(pa.int8())


@dataclass(frozen=True, slots=True, kw_only=True)
class BuilderOptions:
    """What a conversion may leave out.

    limits: longest lists.  max_requests: None writes every request.
    seed: of the sample of users and of shuffled orders.
    """

    limits: ListLimits
    max_requests: int | None = None
    seed: int = 0


class LogBuilder:
    """Collects requests, then items and users. `finish` writes what is left.

    read: requests of the source.  written: requests of the log.
    dropped: requests by reason.  notes: other counts, by what was counted.
    empty_fields: fields without a value in the first half, which schema.toml does not declare.
    """

    def __init__(
        self,
        log_dir: Path,
        schema: Path,
        options: BuilderOptions,
        counters: ItemCounters | None = None,
    ) -> None:
        self.read = self.written = 0
        self.dropped: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.empty_fields: list[str] = []
        self.options, self._counters = options, counters
        self._log_dir, self._schema_text = log_dir, schema.read_text(encoding="utf-8")
        declared = read_schema(schema)
        self._fields = {scope: declared.fields_in_scope(scope) for scope in FieldScope}
        self._display = tuple(declared.display.values())
        limit = options.max_requests
        self._sample = None if limit is None else UserSample(limit, options.seed)
        self._request_ids: set[str] = set()
        self._item_times: dict[str, int] = {}  # earliest request of each item
        self._user_times: dict[str, int] = {}
        self._value_times: dict[str, int] = {}  # earliest request with a value of each field
        self._times = array("q")
        self._part: list[ImpressionRow] = []
        self._part_candidates = self._parts = 0

    @property
    def scratch_dir(self) -> Path:
        """Folder for temporary files, on the disk of the log."""
        return self._log_dir.parent

    def drop(self, reason: str, request: ImpressionRow | None = None) -> None:
        """Count a request that is not written; its shows and clicks are counted where known."""
        self.read += 1
        self.dropped[reason] += 1
        if request is not None and self._counters is not None:
            self._counters.add(request)

    def add(self, request: ImpressionRow) -> None:
        """Write a request, or count why it is left out."""
        cleaned = without_repeated_items(request)
        reason = drop_reason(cleaned, self.options.limits)
        if reason is None and request.request_id in self._request_ids:
            reason = "repeated request id"
        if reason is not None:
            self.drop(reason)
            return
        self.read += 1
        self._request_ids.add(request.request_id)
        self.notes["repeated items left out"] += len(request.candidates) - len(cleaned.candidates)
        if self._counters is not None:
            self._counters.add(cleaned)
        if self._sample is not None:
            self._sample.add(cleaned)
        else:
            self._write(cleaned)

    def finish(self, info: LogInfo, items: EntityRows, users: EntityRows = ()) -> None:
        """Write the last part, items, users, schema and log.toml.

        Args:
            info: log.toml.
            items: id and values of items; only those of the log are written.
            users: id and values of users, likewise.
        """
        if self._sample is not None:
            for request in self._sample:
                self._write(request)
            if self._sample.left_out:
                self.dropped["not in the sample"] = self._sample.left_out
        self._flush()
        if self._counters is not None:
            self._add_counters(self._counters)
        self._entities(ITEMS_PARQUET, ITEM_ID, items, FieldScope.ITEM)
        self._entities(USERS_PARQUET, USER_ID, users, FieldScope.USER)
        self._write_schema()
        write_log_info(self._log_dir, info)

    def summary(self) -> str:
        """One line: requests read, written and dropped by reason, and the notes."""
        parts = [f"{self.read} requests read, {self.written} written"]
        parts += [f"dropped {count}: {reason}" for reason, count in self.dropped.most_common()]
        parts += [f"{count} {note}" for note, count in self.notes.most_common() if count]
        parts += [
            f"field {name!r} left out: no value in the first half" for name in self.empty_fields
        ]
        return "; ".join(parts)

    def _write(self, request: ImpressionRow) -> None:
        self.written += 1
        time = request.timestamp
        self._times.append(time)
        for item_id in request.candidates:
            self._item_times[item_id] = min(time, self._item_times.get(item_id, time))
        self._user_times[request.user_id] = min(time, self._user_times.get(request.user_id, time))
        self._part.append(request)
        self._part_candidates += len(request.candidates)
        if len(self._part) >= _PART_REQUESTS or self._part_candidates >= _PART_CANDIDATES:
            self._flush()

    def _flush(self) -> None:
        if self._part:
            write_impressions(self._log_dir, self._parts, self._columns(self._part))
            self._parts += 1
        self._part, self._part_candidates = [], 0

    def _columns(self, part: list[ImpressionRow]) -> dict[str, pa.Array]:
        columns = {
            "request_id": pa.array([r.request_id for r in part], pa.string()),
            "user_id": pa.array([r.user_id for r in part], pa.string()),
            "timestamp": pa.array([r.timestamp for r in part], pa.int64()),
            "candidates": pa.array([r.candidates for r in part], _TEXTS),
            "upstream_scores": pa.array([r.scores for r in part], pa.list_(pa.float32())),
            "shown": pa.array([r.shown for r in part], _TEXTS),
            "clicks": pa.array([r.clicks for r in part], _FLAGS),
            "conversions": pa.array([r.conversions for r in part], _FLAGS),
        }
        for spec in self._fields[FieldScope.CONTEXT]:
            values = [r.context.get(spec.name) for r in part]
            columns[spec.name] = pa.array(values, _VALUE_TYPES[spec.kind])
            self._note_values(spec, ((r.timestamp, v) for r, v in zip(part, values, strict=True)))
        for spec in self._candidate_fields():
            lists = [r.candidate_values.get(spec.name) for r in part]
            columns[spec.name] = pa.array(lists, pa.list_(_VALUE_TYPES[spec.kind]))
            self._note_values(
                spec,
                ((r.timestamp, v) for r, vs in zip(part, lists, strict=True) for v in vs or ()),
            )
        return columns

    def _note_values(self, spec: DeclaredField, values: Iterable[tuple[int, Any]]) -> None:
        """Note the earliest time of a value; numeric fields need none."""
        if spec.kind is not FieldKind.NUMERIC:
            known = self._value_times.get(spec.name, _NEVER)
            earliest = min((time for time, value in values if value), default=_NEVER)
            self._value_times[spec.name] = min(known, earliest)

    def _candidate_fields(self) -> list[DeclaredField]:
        return [s for s in self._fields[FieldScope.CANDIDATE] if s.name not in UPSTREAM_FIELDS]

    def _add_counters(self, counters: ItemCounters) -> None:
        for path in sorted((self._log_dir / IMPRESSIONS_DIR).glob("*.parquet")):
            table = pq.read_table(path)
            times, lists = table["timestamp"].to_pylist(), table["candidates"].to_pylist()
            counts = [counters.before(t, items) for t, items in zip(times, lists, strict=True)]
            for index, name in enumerate((SHOWS_BEFORE, CLICKS_BEFORE)):
                column = pa.array([c[index] for c in counts], pa.list_(pa.float64()))
                table = table.set_column(table.schema.get_field_index(name), name, column)
            pq.write_table(table, path)

    def _entities(self, file: str, id_name: str, rows: EntityRows, scope: FieldScope) -> None:
        specs = self._fields[scope]
        own = {spec.name for spec in specs}
        display = [n for n in self._display if n not in own and scope is FieldScope.ITEM]
        times = self._item_times if scope is FieldScope.ITEM else self._user_times
        missing = dict.fromkeys(times)
        schema = pa.schema(
            [(name, pa.string()) for name in dict.fromkeys((id_name, *display))]
            + [(spec.name, _VALUE_TYPES[spec.kind]) for spec in specs]
        )
        with pq.ParquetWriter(self._log_dir / file, schema) as writer:
            batch: list[dict[str, Any]] = []
            for entity_id, values in rows:
                if entity_id in missing:
                    del missing[entity_id]
                    batch.append({**values, id_name: entity_id})
                    for spec in specs:
                        self._note_values(spec, [(times[entity_id], values.get(spec.name))])
                elif entity_id in times:
                    self.notes[f"repeated rows of {id_name}s left out"] += 1
                if len(batch) >= _ENTITY_ROWS:
                    batch = self._entity_batch(writer, batch)
            if specs:
                self.notes[f"{id_name}s without a row of their own"] += len(missing)
            batch += [{id_name: entity_id} for entity_id in missing]
            self._entity_batch(writer, batch)

    def _entity_batch(
        self, writer: pq.ParquetWriter, batch: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        for start in range(0, len(batch), _ENTITY_ROWS):
            rows = batch[start : start + _ENTITY_ROWS]
            writer.write_table(pa.Table.from_pylist(rows, schema=writer.schema))
        return []

    def _write_schema(self) -> None:
        """Write schema.toml without the fields that training could not fit.

        A categorical or multi field needs a value in the training part, which is more than the
        first half of the log.
        """
        times = sorted(self._times)
        middle = times[len(times) // 2] if times else 0
        for spec in (spec for fields in self._fields.values() for spec in fields):
            earliest = self._value_times.get(spec.name, _NEVER)
            if spec.kind is not FieldKind.NUMERIC and earliest > middle:
                self.empty_fields.append(spec.name)
        head, *blocks = self._schema_text.split("[[field]]")
        kept = [b for b in blocks if not any(f'name = "{n}"\n' in b for n in self.empty_fields)]
        text = "[[field]]".join([head, *kept])
        (self._log_dir / SCHEMA_TOML).write_text(text, encoding="utf-8", newline="\n")
