"""What can be wrong with a log or with the way to one. Every error names the place and the rule.

DataError
|- LogError             a canonical log breaks a rule: file, row, column, rule
|  |- LogUnreadable        a file is missing or is not what its name says
|  |- MissingColumn        a column is not there
|  |- WrongType            a column holds another type
|  |- MissingValue         a gap where none may be
|  |- UnequalLengths       lists of one row that must have one length do not
|  |- EmptyList            no candidates, or nothing shown
|  |- ListTooLong          more candidates or more shown items than the limits allow
|  |- DuplicateItem        an item twice in one list
|  |- ShownNotOffered      a shown item is not among the candidates
|  |- BadLabel             a click or conversion that is not 0 or 1
|  |- ConversionWithoutClick
|  |- LabelsDisagree       truth.parquet contradicts what the impression logged
|  |- BadTimestamp         not Unix milliseconds
|  |- RepeatedRequest      a request id twice
|  |- UnknownItem          an item that items.parquet does not hold
|  |- UnknownUser          a user that users.parquet does not hold
|  |- BadNumber            NaN or infinite
|  `- RepeatedId           an id twice in items.parquet or users.parquet
|- DataConfigError      a command that does not fit the data: a folder of other files, no ground truth
`- DownloadFailed       a public data set could not be fetched, or is not what was expected
"""

from __future__ import annotations


class DataError(Exception):
    """Root of this room's errors; `code` is stable."""

    code = "data_error"


class LogError(DataError):
    """A canonical log that breaks a rule.

    file: name of the file inside the log's folder. row: counted from 0 in that file, None when the
    rule is about the whole file. column: None when the rule is about no single column.
    """

    code = "log_error"

    def __init__(
        self, *, file: str, rule: str, row: int | None = None, column: str | None = None
    ) -> None:
        place = file
        if row is not None:
            place += f", row {row}"
        if column is not None:
            place += f", column {column!r}"
        super().__init__(f"{place}: {rule}")
        self.file, self.row, self.column, self.rule = file, row, column, rule


class LogUnreadable(LogError):
    """A file is missing or cannot be read."""

    code = "log_unreadable"


class MissingColumn(LogError):
    """A column that the layout or the schema asks for is not there."""

    code = "missing_column"


class WrongType(LogError):
    """A column of another type than its place in the layout asks for."""

    code = "wrong_type"


class MissingValue(LogError):
    """A null where the layout allows none."""

    code = "missing_value"


class UnequalLengths(LogError):
    """Two lists of one row that describe the same items have different lengths."""

    code = "unequal_lengths"


class EmptyList(LogError):
    """A row without candidates, or one that showed nothing."""

    code = "empty_list"


class ListTooLong(LogError):
    """A list over the configured limit."""

    code = "list_too_long"


class DuplicateItem(LogError):
    """The same item twice in one list."""

    code = "duplicate_item"


class ShownNotOffered(LogError):
    """A shown item that is not among the row's candidates."""

    code = "shown_not_offered"


class BadLabel(LogError):
    """A click or a conversion that is neither 0 nor 1."""

    code = "bad_label"


class ConversionWithoutClick(LogError):
    """A conversion on an item that was not clicked."""

    code = "conversion_without_click"


class LabelsDisagree(LogError):
    """The label of a shown item in truth.parquet is not the logged one."""

    code = "labels_disagree"


class BadTimestamp(LogError):
    """A timestamp that cannot be Unix milliseconds."""

    code = "bad_timestamp"


class RepeatedRequest(LogError):
    """A request id that another row has too."""

    code = "repeated_request"


class UnknownItem(LogError):
    """An item that items.parquet does not hold."""

    code = "unknown_item"


class UnknownUser(LogError):
    """A user that users.parquet does not hold."""

    code = "unknown_user"


class BadNumber(LogError):
    """A number that is NaN or infinite."""

    code = "bad_number"


class RepeatedId(LogError):
    """An id twice in items.parquet or in users.parquet."""

    code = "repeated_id"


class DataConfigError(DataError):
    """A TOML file whose key or value is not one that is known or possible."""

    code = "config_error"

    def __init__(self, *, file: str, key: str, rule: str) -> None:
        super().__init__(f"{file}: {key}: {rule}")
        self.file, self.key, self.rule = file, key, rule


class DownloadFailed(DataError):
    """A data set that could not be fetched, or whose bytes are not the expected ones."""

    code = "download_failed"

    def __init__(self, *, source: str, reason: str) -> None:
        super().__init__(f"{source}: {reason}")
        self.source, self.reason = source, reason
