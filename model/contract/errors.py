"""Errors of the contract; each names the rule that data breaks. They know no HTTP.

ContractError
|- SchemaError        a schema that cannot be read or fitted
|- MalformedJson      a body that is not JSON
|- RequestRejected    a request that breaks rules of the wire format, each named
|- ValueRejected      one value of a request that breaks the schema's rule
|- RulesUnsatisfiable rules that no list can meet (proven)
|- RulesUndecided     rules for which a bounded search found no list
|- ManifestError      an artifact that its manifest does not describe
`- UserRecordError    bytes of the store that cannot be read
"""

from __future__ import annotations

from collections.abc import Sequence


class ContractError(Exception):
    """Root of the contract's errors; `code` is stable."""

    code = "contract_error"


class SchemaError(ContractError):
    """The schema breaks a rule; names the file where known, the field or key, and the rule."""

    code = "schema_error"

    def __init__(self, *, field: str, rule: str, file: str | None = None) -> None:
        place = field if file is None else f"{file}: {field}"
        super().__init__(f"{place}: {rule}")
        self.field, self.rule, self.file = field, rule, file


class MalformedJson(ContractError):
    """The body is not JSON; names the position where parsing stopped."""

    code = "malformed_json"

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"the body is not JSON: {reason}")
        self.reason = reason


class RequestRejected(ContractError):
    """The request breaks rules of the wire format; `broken` holds (field, rule) pairs."""

    code = "invalid_request"

    def __init__(self, *, violations: Sequence[tuple[str, str]]) -> None:
        first = f"{violations[0][0]}: {violations[0][1]}"
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        super().__init__(first + more)
        self.violations = list(violations)


class ValueRejected(ContractError):
    """A value from outside breaks the rule of its field."""

    code = "value_rejected"

    def __init__(self, *, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field, self.rule = field, rule


class RulesUnsatisfiable(ContractError):
    """No list of this size can meet the named rules together: proven."""

    code = "rules_unsatisfiable"

    def __init__(self, *, constraints: Sequence[str], reason: str) -> None:
        super().__init__(f"no list can meet {', '.join(constraints)}: {reason}")
        self.constraints, self.reason = list(constraints), reason


class RulesUndecided(ContractError):
    """The bounded search found no list that meets the rules and no proof that none exists."""

    code = "rules_undecided"

    def __init__(self, *, constraints: Sequence[str], work_done: int) -> None:
        super().__init__(
            f"no list that meets {', '.join(constraints)} was found in {work_done} steps"
        )
        self.constraints, self.work_done = list(constraints), work_done


class ManifestError(ContractError):
    """An artifact folder that is incomplete, altered, or of another schema."""

    code = "manifest_error"

    def __init__(self, *, artifact: str, reason: str) -> None:
        super().__init__(f"artifact {artifact}: {reason}")
        self.artifact, self.reason = artifact, reason


class UserRecordError(ContractError):
    """A user blob that is truncated, of another version or of another schema."""

    code = "blob_error"

    def __init__(self, *, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
