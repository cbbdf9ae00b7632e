"""All response models by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from model.config.toml_reader import ConfigError, parse_table
from model.data.simulation.response_models.aspiration import AspirationResponse
from model.data.simulation.response_models.cascade import CascadeResponse
from model.data.simulation.response_models.choice import ChoiceResponse
from model.data.simulation.response_models.coverage import CoverageResponse
from model.data.simulation.response_models.decoy import DecoyResponse
from model.data.simulation.response_models.grid import GridResponse
from model.data.simulation.response_models.listwise import ListwiseResponse
from model.data.simulation.response_models.mixture import MixtureResponse
from model.data.simulation.response_models.nested_choice import NestedChoiceResponse
from model.data.simulation.response_models.repetition import RepetitionResponse
from model.data.simulation.response_models.response_model import UserResponse
from model.data.simulation.response_models.saturation import SaturationResponse
from model.data.simulation.response_models.survival import SurvivalResponse
from model.data.simulation.response_models.teacher import TeacherResponse

LISTWISE = "listwise"
RESPONSE_MODELS: dict[str, type[Any]] = {
    LISTWISE: ListwiseResponse,
    "cascade": CascadeResponse,
    "choice": ChoiceResponse,
    "nested_choice": NestedChoiceResponse,
    "decoy": DecoyResponse,
    "teacher": TeacherResponse,
    "survival": SurvivalResponse,
    "saturation": SaturationResponse,
    "repetition": RepetitionResponse,
    "coverage": CoverageResponse,
    "grid": GridResponse,
    "aspiration": AspirationResponse,
    "mixture": MixtureResponse,
}


def build_response_model(form: str, parameters: Mapping[str, Any]) -> UserResponse:
    """The response model of this name; raises ConfigError for an unknown name or parameter."""
    if form not in RESPONSE_MODELS:
        raise ConfigError(f"form={form!r}: is none of {', '.join(RESPONSE_MODELS)}")
    model: UserResponse = parse_table(RESPONSE_MODELS[form], parameters, f"form {form}")
    return model


def response_form(model: UserResponse) -> str:
    """Name of a response model in the registry."""
    return next(name for name, known in RESPONSE_MODELS.items() if isinstance(model, known))


def response_parameters(model: UserResponse) -> dict[str, Any]:
    """Parameters of a response model by name."""
    parameters: Any = model
    return asdict(parameters)
