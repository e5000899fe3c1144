"""Sessions of Starlette and FastAPI that stand in a database; the cookie is only a key to them.

    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from holdfast.adapters.starlette import SessionMiddleware

    app = Starlette(
        routes=routes,
        middleware=[Middleware(SessionMiddleware, database="lmdb:///app", https_only=True)],
    )

`request.session` is what it is with Starlette's own middleware, but a change deep inside it is
kept too, the browser does not see it, its size is no matter, and `session.clear()` ends it on the
server. Call `renew_session(request)` when somebody signs in, so that a key known before is worth
nothing. Of two requests at once the later write of a session stands, but none brings back a session
that was ended, or whose key was renewed, while it was served.
"""

from __future__ import annotations

import hashlib
import json
import secrets  # noqa: TID251 - `Ids` make what is unique; a key of a session has to be secret
from collections.abc import Callable
from os import PathLike
from typing import Any, Final, Literal

from holdfast.adapters.async_place import AsyncPlace
from holdfast.adapters.requirement import requires
from holdfast.adapters.steps import one_async_step
from holdfast.contract.errors import DeserializationFailed, SerializationFailed
from holdfast.database.handle import Database
from holdfast.store.durations import ttl_milliseconds
from holdfast.stores.transaction import StoreTransaction

with requires("starlette>=1", "itsdangerous"):
    from starlette.datastructures import MutableHeaders
    from starlette.middleware.sessions import Session
    from starlette.requests import HTTPConnection
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

TWO_WEEKS_S: Final = 14 * 24 * 60 * 60
#: How many random bytes a key of a session has.
TOKEN_BYTES: Final = 32
#: What is longer than this was not made here.
TOKEN_CHARACTERS_MAX: Final = 128


class ServerSession(Session):
    """What `request.session` is: a dict that goes to the database when it changes."""

    #: Whether the session gets a new key.
    renewed = False


def renew_session(connection: HTTPConnection) -> None:
    """Give the session of this request a new key; the old one leads nowhere then."""
    session = connection.session
    if not isinstance(session, ServerSession):
        raise TypeError(
            f"wanted a session of holdfast's SessionMiddleware; found a {type(session).__name__}"
        )
    session.renewed = True


def new_token() -> str:
    """A key that nobody guesses."""
    # `Ids` make what is unique; this has to be secret.
    return secrets.token_urlsafe(TOKEN_BYTES)


class SessionMiddleware:
    """Reads the session of a request, and writes it when it was changed.

    Args:
        app: what stands behind it.
        database: the address of a database, opened at the first request; or one that is open on
            the application's loop.
        name: of the store in it, made at the first use.
        session_cookie: name of the cookie.
        max_age: seconds until a session ends that nobody changes; None: the cookie ends with the
            browser, and the session after two weeks.
        path, same_site, https_only, domain: of the cookie.
        make_token: makes the keys; for tests.

    Raises:
        InvalidInput: `max_age` is not above 0.
    """

    def __init__(
        self,
        app: ASGIApp,
        database: Database | str | PathLike[str],
        *,
        name: str = "sessions",
        session_cookie: str = "session",
        max_age: int | None = TWO_WEEKS_S,
        path: str = "/",
        same_site: Literal["lax", "strict", "none"] = "lax",
        https_only: bool = False,
        domain: str | None = None,
        make_token: Callable[[], str] = new_token,
    ) -> None:
        self.app = app
        self._place = AsyncPlace(database, name)
        self._cookie = session_cookie
        self._max_age = max_age
        self._ttl_s = TWO_WEEKS_S if max_age is None else max_age
        ttl_milliseconds(self._ttl_s)
        self._make_token = make_token
        attributes = [f"path={path}", "httponly", f"samesite={same_site}"]
        attributes += ["secure"] if https_only else []
        attributes += [f"domain={domain}"] if domain else []
        self._attributes = "; ".join(attributes)

    async def close(self) -> None:
        """Close the database that was opened by address; the end of the application does."""
        await self._place.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request or a WebSocket."""
        if scope["type"] == "lifespan":
            try:
                await self.app(scope, receive, send)
            finally:
                await self.close()
            return
        state = _State(self, *await self._load(HTTPConnection(scope).cookies.get(self._cookie)))
        scope["session"] = state.session

        async def send_with_session(message: Message) -> None:
            if message["type"] in {"http.response.start", "websocket.accept"}:
                state.session = scope["session"]
                cookie = await state.save()
                message.setdefault("headers", [])
                headers = MutableHeaders(scope=message)
                if getattr(state.session, "accessed", True):
                    headers.add_vary_header("Cookie")
                if cookie is not None:
                    headers.append("set-cookie", cookie)
            await send(message)

        await self.app(scope, receive, send_with_session)
        # What changed since then, in a background task or in a WebSocket, keeps its key.
        await state.save_late()

    async def _load(self, token: str | None) -> tuple[str | None, bytes]:
        """The key, None if it leads nowhere, and what stands under it."""
        if token is None or not 0 < len(token) <= TOKEN_CHARACTERS_MAX:
            return None, b"{}"
        stored = await (await self._place.store()).get(_key(token), None)
        # A key that nobody has here is never taken over: others may know it.
        return (None, b"{}") if stored is None else (token, stored)

    async def begin(self, token: str, data: bytes, old: str | None = None) -> None:
        """Keep a session under a new key, in the same commit no longer under an old one."""
        store = await self._place.store()
        async with store.batch() as batch:
            batch.set(_key(token), data, ttl=self._ttl_s)
            if old is not None:
                batch.delete(_key(old))

    async def write(self, token: str, data: bytes) -> bool:
        """Keep a session under its key; False: it was ended, and nothing is written."""

        async def step(store: StoreTransaction) -> bool:
            if not await store.has(_key(token)):
                return False
            await store.set(_key(token), data, ttl=self._ttl_s)
            return True

        return await one_async_step(await self._place.store(), step)

    async def remove(self, token: str) -> None:
        """End the session under a key."""
        await (await self._place.store()).delete(_key(token))

    def new_token(self) -> str:
        """A key for a new session."""
        return self._make_token()

    def cookie(self, token: str | None) -> str:
        """The header that gives the browser the key, or takes it away."""
        if token is None:
            ending = "expires=Thu, 01 Jan 1970 00:00:00 GMT; max-age=0"
            return f"{self._cookie}=null; {ending}; {self._attributes}"
        age = "" if self._max_age is None else f"max-age={self._max_age}; "
        return f"{self._cookie}={token}; {age}{self._attributes}"


class _State:
    """The session of one request: as it was read, and as it is."""

    def __init__(self, middleware: SessionMiddleware, token: str | None, stored: bytes) -> None:
        self._middleware = middleware
        self._token = token
        self._stored = stored
        self.session: Any = ServerSession(_decoded(stored))

    async def save(self) -> str | None:
        """Write what changed; the cookie header that the browser needs."""
        data, middleware, old = _encoded(self.session), self._middleware, self._token
        renewed = getattr(self.session, "renewed", False)
        if not self.session:
            if old is None:
                return None
            await middleware.remove(old)
            self._token, self._stored = None, data
            return middleware.cookie(None)
        modified = renewed or getattr(self.session, "modified", False)
        if data == self._stored and not modified:
            return None
        if renewed or old is None:
            self._token = middleware.new_token()
            await middleware.begin(self._token, data, old)
        elif not await middleware.write(old, data):
            self._token = None
            return None
        self._stored = data
        return middleware.cookie(self._token)

    async def save_late(self) -> None:
        """Write what changed after the browser had its answer; a session without a key is lost."""
        if self._token is None:
            return
        data = _encoded(self.session)
        if not self.session:
            await self._middleware.remove(self._token)
        elif data != self._stored:
            await self._middleware.write(self._token, data)


def _key(token: str) -> bytes:
    # Who reads the database learns no keys.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _encoded(session: Any) -> bytes:
    try:
        return json.dumps(session, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise SerializationFailed(f"a session is JSON: {error}") from error


def _decoded(stored: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(stored))
    except (TypeError, ValueError) as error:
        raise DeserializationFailed(
            "what stands under the key of the session is no JSON object; something else wrote "
            "into its store: give each its own"
        ) from error
