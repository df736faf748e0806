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
    """One path with what may be given to it."""

    path: str
    description: str
    streams: bool
    parameters: tuple[Parameter, ...]


def endpoints(openapi: dict[str, Any]) -> list[Endpoint]:
    """The GET endpoints in the order they were declared."""
    found: list[Endpoint] = []
    for path, methods in openapi["paths"].items():
        told = methods["get"]
        given = [p for p in told.get("parameters", ()) if p["in"] != "header"]
        streams = "text/event-stream" in told["responses"]["200"].get("content", {})
        found.append(
            Endpoint(path, told["description"], streams, tuple(_parameter(p) for p in given))
        )
    return found


def _parameter(told: dict[str, Any]) -> Parameter:
    schema = told["schema"]
    examples = schema.get("examples") or [""]
    default = schema.get("default")
    return Parameter(
        name=told["name"],
        description=told.get("description", ""),
        required=told["required"],
        default="" if default is None else str(default).lower(),
        example=str(examples[0]),
    )
