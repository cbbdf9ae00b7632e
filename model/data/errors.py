"""Errors of this package. Each names the place and the rule; `code` is stable.

DataError
|- LogError: a canonical log breaks a rule
|  |- LogUnreadable           log_unreadable
|  |- MissingColumn           missing_column
|  |- WrongType               wrong_type
|  |- MissingValue            missing_value
|  |- InvalidId               invalid_id
|  |- UnequalLengths          unequal_lengths
|  |- EmptyList               empty_list
|  |- ListTooLong             list_too_long
|  |- DuplicateItem           duplicate_item
|  |- ShownNotOffered         shown_not_offered
|  |- BadLabel                bad_label
|  |- ConversionWithoutClick  conversion_without_click
|  |- LabelsDisagree          labels_disagree
|  |- BadTimestamp            bad_timestamp
|  |- RepeatedRequest         repeated_request
|  |- UnknownItem             unknown_item
|  |- UnknownUser             unknown_user
|  |- BadNumber               bad_number
|  |- RepeatedId              repeated_id
|  |- FieldWithoutValues      field_without_values
|  |- DisplayNotText          display_not_text
|  |- TooFewRequests          too_few_requests
|  `- PartTooSmall            part_too_small
|- DataConfigError: an unknown key or an impossible value in a TOML file
|- SourceInvalid: a file of a public data set has another layout than the documented one
|- WriteFailed: a file or folder could not be written
`- DownloadFailed: a public data set could not be fetched, or has unexpected bytes

`log_error_reference` lists code, meaning and cure of every LogError for the documentation.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import ClassVar, NamedTuple


class DataError(Exception):
    """Root of the errors of `model.data`."""

    code = "data_error"


class LogError(DataError):
    """A canonical log that breaks a rule.

    file: name of the file inside the folder of the log.
    row: counted from 0 in that file; None when the rule is about the whole file.
    column: None when the rule is about no single column.
    cure: one sentence that says how to repair the log.
    """

    code = "log_error"
    cure: ClassVar[str] = ""

    def __init__(
        self, *, file: str, rule: str, row: int | None = None, column: str | None = None
    ) -> None:
        location = file
        if row is not None:
            location += f", row {row}"
        if column is not None:
            location += f", column {column!r}"
        super().__init__(f"{location}: {rule}")
        self.file, self.row, self.column, self.rule = file, row, column, rule


class LogUnreadable(LogError):
    """A file is missing or cannot be read."""

    code = "log_unreadable"
    cure = "Write the file named in the message, as Parquet."


class MissingColumn(LogError):
    """A column of the layout or of schema.toml is missing."""

    code = "missing_column"
    cure = "Add the column, or remove its field from schema.toml."


class WrongType(LogError):
    """A column has another type than the layout requires."""

    code = "wrong_type"
    cure = "Cast the column to the type named in the message."


class MissingValue(LogError):
    """A null where the layout allows none."""

    code = "missing_value"
    cure = "Fill in the value, or leave the row out."


class InvalidId(LogError):
    """An id that is empty or longer than the service accepts."""

    code = "invalid_id"
    cure = "Use ids of 1 to 256 characters in every file."


class UnequalLengths(LogError):
    """Lists of one row that describe the same items differ in length."""

    code = "unequal_lengths"
    cure = "Write one value for each item, null where it is not known."


class EmptyList(LogError):
    """A row without candidates, or without shown items."""

    code = "empty_list"
    cure = "Leave the row out."


class ListTooLong(LogError):
    """A list longer than the limit."""

    code = "list_too_long"
    cure = "Cut the list, or leave the row out."


class DuplicateItem(LogError):
    """An item that occurs more than once in a list."""

    code = "duplicate_item"
    cure = "Keep the first occurrence only."


class ShownNotOffered(LogError):
    """A shown item that is not among the candidates of its row."""

    code = "shown_not_offered"
    cure = "Add the item to the candidates of the row."


class BadLabel(LogError):
    """A click or conversion that is neither 0 nor 1."""

    code = "bad_label"
    cure = "Write 0 or 1; write null for a conversion that is not known."


class ConversionWithoutClick(LogError):
    """A conversion of an item that was not clicked."""

    code = "conversion_without_click"
    cure = "Set the click to 1, or the conversion to 0."


class LabelsDisagree(LogError):
    """A label in truth.parquet that differs from the logged label."""

    code = "labels_disagree"
    cure = "Write the logged click of each shown item into truth.parquet."


class BadTimestamp(LogError):
    """A timestamp that is not in Unix milliseconds."""

    code = "bad_timestamp"
    cure = "Convert timestamps to whole milliseconds since 1970-01-01 UTC."


class RepeatedRequest(LogError):
    """A request id that occurs more than once."""

    code = "repeated_request"
    cure = "Give each row its own request_id."


class UnknownItem(LogError):
    """An item that is not in items.parquet."""

    code = "unknown_item"
    cure = "Add the item to items.parquet, or leave the row out."


class UnknownUser(LogError):
    """A user id that is not in users.parquet."""

    code = "unknown_user"
    cure = "Add the user to users.parquet, or leave the row out."


class BadNumber(LogError):
    """A number that is NaN or infinite."""

    code = "bad_number"
    cure = "Write null for a value that is not known."


class RepeatedId(LogError):
    """An id that occurs more than once in items.parquet or users.parquet."""

    code = "repeated_id"
    cure = "Keep one row for each id."


class FieldWithoutValues(LogError):
    """A categorical or multi field without any value in the training part."""

    code = "field_without_values"
    cure = "Fill the column, give its vocabulary in schema.toml, or remove the field."


class DisplayNotText(LogError):
    """A display column in schema.toml that names a field without text."""

    code = "display_not_text"
    cure = "Name a text column under [display] in schema.toml."


class TooFewRequests(LogError):
    """A log with fewer requests than training needs."""

    code = "too_few_requests"
    cure = "Log more requests."


class PartTooSmall(LogError):
    """A part of the split with fewer requests than training and export need."""

    code = "part_too_small"
    cure = "Log more moments in time, or change split and shares in log.toml."


class LogErrorEntry(NamedTuple):
    """One row of the reference of log errors."""

    code: str
    meaning: str
    cure: str


def log_error_reference() -> tuple[LogErrorEntry, ...]:
    """Code, meaning (first line of the docstring) and cure of every LogError, by code."""
    entries = (
        LogErrorEntry(error.code, (inspect.getdoc(error) or "").partition("\n")[0], error.cure)
        for error in LogError.__subclasses__()
    )
    return tuple(sorted(entries))


class DataConfigError(DataError):
    """A TOML file with an unknown key or an impossible value."""

    code = "config_error"

    def __init__(self, *, file: str, key: str, rule: str) -> None:
        super().__init__(f"{file}: {key}: {rule}")
        self.file, self.key, self.rule = file, key, rule


class SourceInvalid(DataError):
    """A file of a public data set that has another layout than the documented one.

    file: name of the file. line: counted from 1 with the header; of Parquet and Feather files the
    row, counted from 1. column: None when the rule is about no single column.
    """

    code = "source_invalid"

    def __init__(
        self, *, file: str, rule: str, line: int | None = None, column: str | None = None
    ) -> None:
        location = file if line is None else f"{file}, line {line}"
        if column is not None:
            location += f", column {column!r}"
        super().__init__(f"{location}: {rule}")
        self.file, self.line, self.column, self.rule = file, line, column, rule


class WriteFailed(DataError):
    """A file or folder that could not be written.

    path: what should have been written. reason: message of the system.
    written_bytes: bytes written before the failure. free_bytes: free space of the file system.
    """

    code = "write_failed"

    def __init__(self, *, path: Path, reason: str, written_bytes: int, free_bytes: int) -> None:
        need = f"needs more than {written_bytes / 1e6:.1f} MB, {free_bytes / 1e6:.1f} MB are free"
        super().__init__(f"{path} cannot be written: {reason} ({need})")
        self.path, self.reason = path, reason
        self.written_bytes, self.free_bytes = written_bytes, free_bytes


class DownloadFailed(DataError):
    """A data set that could not be fetched, or has unexpected bytes."""

    code = "download_failed"

    def __init__(self, *, source: str, reason: str) -> None:
        super().__init__(f"{source}: {reason}")
        self.source, self.reason = source, reason
