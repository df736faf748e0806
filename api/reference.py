"""The reference page's view of the OpenAPI description."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Parameter:
    """One input of an endpoint's form."""

    name: str
    description: str
    required: bool
    default: str
    example: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of a path with what may be given to it."""

    method: str
    path: str
    description: str
    streams: bool
    parameters: tuple[Parameter, ...]


def endpoints(openapi: dict[str, Any]) -> list[Endpoint]:
    """The endpoints in the order they were declared."""
    return [
        _endpoint(method.upper(), path, told)
        for path, methods in openapi["paths"].items()
        for method, told in methods.items()
    ]


def _endpoint(method: str, path: str, told: dict[str, Any]) -> Endpoint:
    given = [p for p in told.get("parameters", ()) if p["in"] != "header"]
    streams = "text/event-stream" in told["responses"].get("200", {}).get("content", {})
    parameters = tuple(_parameter(p) for p in given)
    return Endpoint(method, path, told["description"], streams, parameters)


def _parameter(told: dict[str, Any]) -> Parameter:
    schema = told["schema"]
    examples = schema.get("examples") or [""]
    default = schema.get("default")
    return Parameter(
        name=told["name"],
        description=told.get("description", ""),
        required=told.get("required", False),
        default="" if default is None else str(default).lower(),
        example=str(examples[0]),
    )
