"""What OpenAPI says of tokens, links, users and keys."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field


class TokenBody(BaseModel):
    """A form, urlencoded."""

    grant_type: Literal["password"]
    username: str = Field(max_length=64)
    password: str = Field(max_length=200)


class TokenResponse(BaseModel):
    """A token for ``Authorization: Bearer``."""

    access_token: str
    token_type: Literal["bearer"]
    expires_in: int = Field(description="seconds")


class LinkBody(BaseModel):
    """Which picture, and for how long the link is to be good."""

    path: str = Field(examples=["images/2026-11-21/CAM-001/t-1-7-plate.jpg"])
    minutes: int = Field(default=60, ge=1, le=10_080)


class LinkResponse(BaseModel):
    """A link that needs no key; whoever holds it sees the picture until it expires."""

    url: str
    expires_at: datetime
