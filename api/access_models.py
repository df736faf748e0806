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


class GrantRefused(BaseModel):
    """Why no token is given, in the words of RFC 6749, section 5.2."""

    error: str
    error_description: str
    detail: str


class LinkBody(BaseModel):
    """Which picture, and for how long the link is to be good."""

    path: str = Field(examples=["images/2026-11-21/CAM-001/t-1-7-plate.jpg"])
    minutes: int = Field(default=60, ge=1, le=10_080)


class LinkResponse(BaseModel):
    """A link that needs no key; whoever holds it sees the picture until it expires."""

    url: str
    expires_at: datetime


class GrantBody(BaseModel):
    """What somebody may do, and of which cameras; as JSON, or as a form."""

    role: Literal["viewer", "operator", "investigator", "admin"]
    cameras: list[str] | None = Field(default=None, description="all if left out")
    clear: bool | None = Field(
        default=None,
        description="Plates as they are where others see pseudonyms; if left out investigators and "
        "administrators see them",
    )


class UserBody(GrantBody):
    """A new user."""

    name: str = Field(max_length=64, examples=["anna@example.org"])


class UserResponse(BaseModel):
    """A user, without anything secret."""

    name: str
    role: str
    cameras: list[str] | None
    clear: bool
    state: Literal["active", "invited", "disabled"]
    created_at: datetime
    last_used_at: datetime | None
    password_until: datetime | None = Field(description="of a one-time password")


class UserMade(UserResponse):
    """A user and a one-time password, which is told this once."""

    password: str


class KeyBody(BaseModel):
    """A new key."""

    name: str = Field(max_length=64, examples=["gate house"])
    role: Literal["ingest", "viewer", "operator", "investigator", "admin"]
    cameras: list[str] | None = Field(default=None, description="all if left out")
    clear: bool | None = None
    expires: str | None = Field(default="365d", examples=["90d", "12h", "never"])


class KeyResponse(BaseModel):
    """A key, without its text."""

    key_id: str
    name: str
    role: str
    cameras: list[str] | None
    clear: bool
    state: Literal["active", "expired", "revoked"]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class KeyMade(KeyResponse):
    """A key with its text, which is told this once."""

    key: str


class PeopleResponse(BaseModel):
    """Everybody who may get in, and who might before."""

    users: list[UserResponse]
    keys: list[KeyResponse]
