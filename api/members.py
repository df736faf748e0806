"""People and keys, for administrators: who may do what, as a page and for programs."""

import logging
import re
from asyncio import to_thread
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson
from fastapi import APIRouter, Depends, Request
from starlette.responses import RedirectResponse, Response

from api import access_models, bodies, models
from api.alert_view import told
from api.attempts import Logins
from api.audit import about
from api.encode import Json
from api.errors import BadInput, Conflict, NotFound, wants_page
from api.pages import Pages
from api.visitor import visitor
from projections.access import AccessKeys, Key, Role
from projections.passwords import one_time
from projections.users import User, name_of

_log = logging.getLogger(__name__)

_BODY = 16_384
_MOST_CAMERAS = 200
PEOPLE = tuple(role for role in Role if role is not Role.INGEST)
LIVES = (("30d", "30 days"), ("90d", "90 days"), ("365d", "a year"), ("never", "never"))
_UNITS = {"h": "hours", "d": "days"}
_MISSING: dict[int | str, dict[str, Any]] = {
    404: {"model": models.Problem},
    422: {"model": models.Problem},
}


def router(keys: AccessKeys | None, logins: Logins | None, pages: Pages) -> APIRouter:
    """Everything under ``/people``; where nobody is asked who they are it says so."""
    asks = [] if keys is not None else [Depends(_nobody)]
    routes = APIRouter(tags=["people"], dependencies=asks)
    desk = _Desk(keys, logins, pages)
    _add_listing(routes, desk)
    _add_users(routes, desk)
    _add_keys(routes, desk)
    return routes


def _nobody() -> None:
    raise Conflict(
        "this server asks nobody who they are, so there is nobody to manage: set "
        "ALPR_API_AUTH=required, or ALPR_API_HOST to an address that others reach; "
        "`alpr users` and `alpr keys` work without"
    )


@dataclass(frozen=True, slots=True)
class _Desk:
    """What the routes work with; keys and logins are there wherever one gets past ``_nobody``."""

    asked: AccessKeys | None
    checked: Logins | None
    pages: Pages

    @property
    def keys(self) -> AccessKeys:
        assert self.asked is not None
        return self.asked

    @property
    def logins(self) -> Logins:
        assert self.checked is not None
        return self.checked

    async def page(self, made: dict[str, str] | None = None) -> Response:
        """Everybody, and what was just made."""
        users, listed = await to_thread(self.keys.users.all), await to_thread(self.keys.all)
        answer = self.pages.page(
            "people.html",
            users=[_user(one) for one in users],
            keys=[_key(one) for one in listed if one.state == "active"],
            ended=[_key(one) for one in reversed(listed) if one.state != "active"][:20],
            roles=[role.value for role in PEOPLE],
            key_roles=[role.value for role in Role],
            lives=LIVES,
            me=visitor().user,
            made=made,
        )
        answer.headers["cache-control"] = "no-store"
        return answer

    async def done(
        self, request: Request, plain: dict[str, Any], made: dict[str, str] | None = None
    ) -> Response:
        """What was made is shown this once; a page that shows nothing anew is gone to."""
        if not wants_page(request):
            return Json(plain, headers={"cache-control": "no-store"})
        return await self.page(made) if made else RedirectResponse("/people", 303)


def _add_listing(routes: APIRouter, desk: _Desk) -> None:
    @routes.get(
        "/people", response_model=None, responses={200: {"model": access_models.PeopleResponse}}
    )
    async def people(request: Request) -> Response:
        """Users by name, and every key that was ever made, without anything secret."""
        if wants_page(request):
            return await desk.page()
        told_of = [_plain_user(one) for one in await to_thread(desk.keys.users.all)]
        listed = [_plain_key(one) for one in await to_thread(desk.keys.all)]
        return Json({"users": told_of, "keys": listed})


def _add_users(routes: APIRouter, desk: _Desk) -> None:
    @routes.post(
        "/people/users",
        response_model=None,
        responses={200: {"model": access_models.UserMade}, 409: {"model": models.Problem}},
        openapi_extra=bodies.described(access_models.UserBody),
    )
    async def add(request: Request) -> Response:
        """A new user, with a one-time password that is told this once and good for a week."""
        given = await _fields(request)
        name = name_of(str(given.get("name", "")))
        if name is None:
            raise BadInput(
                f"name={str(given.get('name', ''))[:80]!r} is no user's name: give 1 to 64 small "
                "letters, digits or . _ - @ +, such as anna or anna@example.org"
            )
        about(f"user:{name}")
        role, cameras, clear = _grant(given, PEOPLE)
        password = one_time()
        hashed = await desk.logins.hash(password)
        user = await to_thread(
            lambda: desk.keys.users.add(name, role, hashed, cameras=cameras, clear=clear, once=True)
        )
        if user is None:
            raise Conflict(f"there is a user {name} already: take another name, or change that one")
        _log.info("%s added user:%s as %s", visitor().actor, name, role.value)
        plain = {**_plain_user(user), "password": password}
        return await desk.done(request, plain, {"kind": "password", "name": name, "text": password})

    @routes.post(
        "/people/users/{name}",
        response_model=None,
        responses={200: {"model": access_models.UserResponse}, **_MISSING},
        openapi_extra=bodies.described(access_models.GrantBody),
    )
    async def change(request: Request, name: str) -> Response:
        """Another role, other cameras, or whether plates are seen in clear; at once, everywhere."""
        role, cameras, clear = _grant(await _fields(request), PEOPLE)
        if name == visitor().user and role is not Role.ADMIN:
            raise Conflict("you would not be an administrator any more: let another one do this")
        user = _there(await to_thread(desk.keys.users.change, name, role, cameras, clear), name)
        _log.info("%s changed user:%s to %s", visitor().actor, name, role.value)
        return await desk.done(request, _plain_user(user))

    @routes.post(
        "/people/users/{name}/password",
        response_model=None,
        responses={200: {"model": access_models.UserMade}, **_MISSING},
    )
    async def reset(request: Request, name: str) -> Response:
        """A one-time password in place of a forgotten one; it ends every session of the user."""
        password = one_time()
        hashed = await desk.logins.hash(password)
        user = _there(
            await to_thread(lambda: desk.keys.users.set_password(name, hashed, once=True)), name
        )
        _log.info("%s reset the password of user:%s", visitor().actor, name)
        plain = {**_plain_user(user), "password": password}
        return await desk.done(request, plain, {"kind": "password", "name": name, "text": password})

    @routes.post(
        "/people/users/{name}/disable",
        response_model=None,
        responses={200: {"model": access_models.UserResponse}, **_MISSING},
    )
    async def disable(request: Request, name: str) -> Response:
        """Keep a user out, and end every session and token of theirs."""
        if name == visitor().user:
            raise Conflict("you would lock yourself out: let another administrator do this")
        user = _there(await to_thread(desk.keys.users.disable, name), name)
        _log.info("%s disabled user:%s", visitor().actor, name)
        return await desk.done(request, _plain_user(user))

    @routes.post(
        "/people/users/{name}/enable",
        response_model=None,
        responses={200: {"model": access_models.UserResponse}, **_MISSING},
    )
    async def enable(request: Request, name: str) -> Response:
        """Let a user in again, with the password as it was."""
        user = _there(await to_thread(desk.keys.users.enable, name), name)
        _log.info("%s enabled user:%s", visitor().actor, name)
        return await desk.done(request, _plain_user(user))


def _add_keys(routes: APIRouter, desk: _Desk) -> None:
    @routes.post(
        "/people/keys",
        response_model=None,
        responses={200: {"model": access_models.KeyMade}, 422: {"model": models.Problem}},
        openapi_extra=bodies.described(access_models.KeyBody),
    )
    async def make(request: Request) -> Response:
        """A new key for a program; its text is told this once."""
        given = await _fields(request)
        name = str(given.get("name", "")).strip()
        if not 1 <= len(name) <= 64 or not name.isprintable():
            raise BadInput(f"name={name[:80]!r} is no name: give 1 to 64 characters to know it by")
        role, cameras, clear = _grant(given, tuple(Role))
        life = _life(str(given.get("expires") or "365d"))
        key, text = await to_thread(
            lambda: desk.keys.create(name, role, life, cameras=cameras, clear=clear)
        )
        about(f"key:{key.key_id}")
        _log.info("%s made the key %s (%s) as %s", visitor().actor, key.key_id, name, role.value)
        plain = {**_plain_key(key), "key": text}
        return await desk.done(request, plain, {"kind": "key", "name": name, "text": text})

    @routes.post(
        "/people/keys/{key_id}/revoke",
        response_model=None,
        responses={200: {"model": access_models.KeyResponse}, 404: {"model": models.Problem}},
    )
    async def revoke(request: Request, key_id: str) -> Response:
        """End a key and its sessions, for ever."""
        key = await to_thread(desk.keys.revoke, key_id)
        if key is None:
            raise NotFound(f"there is no key {key_id[:80]!r}: GET /people lists them")
        _log.info("%s revoked the key %s", visitor().actor, key_id)
        return await desk.done(request, _plain_key(key))


async def _fields(request: Request) -> dict[str, Any]:
    """The body, as JSON or as a page's form."""
    if request.headers.get("content-type", "").startswith("application/json"):
        known: dict[str, type | tuple[type, ...]] = {
            **dict.fromkeys(("name", "role", "expires"), str),
            "cameras": list,
            "clear": bool,
        }
        body = await bodies.read(request, _BODY)
        try:
            whole = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise BadInput(f"the body is no JSON: {error}") from None
        if not isinstance(whole, dict):
            raise BadInput("the body is no JSON object: send one such as {}")
        return bodies.take(whole, known)
    form: dict[str, Any] = dict(await bodies.form(request, _BODY))
    named = [one.strip() for one in re.split(r"[,\n]", form.pop("cameras", "")) if one.strip()]
    if named:
        form["cameras"] = named
    if "clear" in form:
        form["clear"] = form["clear"] == "on"
    return form


def _grant(
    given: dict[str, Any], roles: tuple[Role, ...]
) -> tuple[Role, frozenset[str] | None, bool]:
    """What somebody is to be allowed. Raises BadInput."""
    known = {role.value: role for role in roles}
    role = known.get(str(given.get("role", "")))
    if role is None:
        raise BadInput(f"role={str(given.get('role', ''))[:80]!r}: give one of {', '.join(known)}")
    cameras = given.get("cameras")
    clear = given.get("clear", role.sees_plates)
    if cameras is None:
        return role, None, clear
    if role is Role.ADMIN:
        raise BadInput(
            "an administrator sees every camera, since they could let themselves: leave cameras "
            "out, or take another role"
        )
    named = all(
        isinstance(one, str) and 0 < len(one) <= 200 and one.isprintable() for one in cameras
    )
    if not named or not 1 <= len(cameras) <= _MOST_CAMERAS:
        raise BadInput(f"cameras is no list of 1 to {_MOST_CAMERAS} cameras: leave it out for all")
    return role, frozenset(cameras), clear


def _life(text: str) -> timedelta | None:
    if text == "never":
        return None
    given = re.fullmatch(r"([1-9]\d{0,4})([hd])", text)
    if given is None:
        raise BadInput(f"expires={text[:80]!r} is no life: give one such as 90d, 12h or never")
    return timedelta(**{_UNITS[given[2]]: int(given[1])})


def _there(user: User | None, name: str) -> User:
    if user is None:
        raise NotFound(f"there is no user {name[:80]!r}: GET /people lists them")
    return user


def _state(user: User) -> str:
    if user.disabled_at is not None:
        return "disabled"
    return "invited" if user.must_change else "active"


def _plain_user(user: User) -> dict[str, Any]:
    return {
        "name": user.name,
        "role": user.role.value,
        "cameras": None if user.cameras is None else sorted(user.cameras),
        "clear": user.clear,
        "state": _state(user),
        "created_at": user.created_at,
        "last_used_at": user.last_used_at,
        "password_until": user.password_until,
    }


def _plain_key(key: Key) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "name": key.name,
        "role": key.role.value,
        "cameras": None if key.cameras is None else sorted(key.cameras),
        "clear": key.clear,
        "state": key.state,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
    }


def _user(user: User) -> dict[str, Any]:
    return {
        **_plain_user(user),
        "sight": _sight(user),
        "used": told(user.last_used_at),
        "until": told(user.password_until),
    }


def _key(key: Key) -> dict[str, Any]:
    times = {"used": told(key.last_used_at), "ends": told(key.expires_at)}
    return {**_plain_key(key), "sight": _sight(key), **times}


def _sight(one: User | Key) -> str:
    """How plates are shown to them, where it is not as their role has it."""
    if one.clear == one.role.sees_plates:
        return ""
    return "plates in clear" if one.clear else "plates as pseudonyms"
