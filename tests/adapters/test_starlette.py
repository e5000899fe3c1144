"""Sessions of Starlette: what its own middleware does, and what only the server can promise."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

import holdfast.sync
from holdfast.adapters.starlette import TOKEN_CHARACTERS_MAX, SessionMiddleware, renew_session
from holdfast.contract.errors import InvalidInput, SerializationFailed, StoreClosed
from holdfast.contract.runtime import SystemClock


async def view(request: Request) -> Response:
    return JSONResponse(request.session)


async def untouched(request: Request) -> Response:
    return JSONResponse("public")


async def update(request: Request) -> Response:
    request.session.update(await request.json())
    return JSONResponse(request.session)


async def deep(request: Request) -> Response:
    request.session["cart"]["items"].append("one more")
    return JSONResponse(request.session)


async def clear(request: Request) -> Response:
    request.session.clear()
    return JSONResponse(request.session)


async def sign_in(request: Request) -> Response:
    request.session["user"] = "ada"
    renew_session(request)
    return JSONResponse(request.session)


async def broken(request: Request) -> Response:
    request.session["half"] = True
    raise RuntimeError("the view failed")


async def unstorable(request: Request) -> Response:
    request.session["set"] = {1, 2}
    return JSONResponse({})


async def replaced(request: Request) -> Response:
    request.scope["session"] = {"plain": "dict"}
    return JSONResponse({})


async def later(request: Request) -> Response:
    async def work() -> None:
        request.session["later"] = True

    return JSONResponse({}, background=BackgroundTask(work))


async def slow(request: Request) -> Response:
    """While it works, the same browser goes on in another tab."""
    request.session["slow"] = True
    with TestClient(request.app, cookies=request.cookies) as other:
        other.get((await request.body()).decode())
    return JSONResponse(request.session)


async def talk(socket: WebSocket) -> None:
    await socket.accept()
    socket.session["said"] = await socket.receive_text()
    await socket.send_json(socket.session)
    await socket.close()


VIEWS = (view, untouched, update, deep, clear, sign_in, broken, unstorable, replaced, later, slow)


def make_app(address: str, **settings: Any) -> Starlette:
    routes = [Route(f"/{one.__name__}", one, methods=["GET", "POST"]) for one in VIEWS]
    return Starlette(
        routes=[*routes, WebSocketRoute("/talk", talk)],
        middleware=[Middleware(SessionMiddleware, database=address, **settings)],
    )


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/app.db?durability=relaxed"


@pytest.fixture
def client(address: str) -> Iterator[TestClient]:
    with TestClient(make_app(address), base_url="https://here") as found:
        yield found


def kept_in(address: str) -> dict[bytes, bytes]:
    with holdfast.sync.open(address) as db:
        return dict(db.stores.open("sessions").iterate())


def test_a_session_is_kept_and_the_browser_sees_a_key_only(
    client: TestClient, address: str
) -> None:
    assert client.get("/view").json() == {}
    assert "set-cookie" not in client.get("/view").headers
    response = client.post("/update", json={"secret": "grüß", "n": 1})
    cookie = response.headers["set-cookie"]
    assert cookie.startswith("session=")
    assert cookie.endswith("; max-age=1209600; path=/; httponly; samesite=lax")
    token = client.cookies["session"]
    assert client.get("/view").json() == {"secret": "grüß", "n": 1}
    assert "set-cookie" not in client.get("/view").headers
    [(key, value)] = kept_in(address).items()
    assert key == hashlib.sha256(token.encode()).digest()
    assert token.encode() not in value
    assert b"secret" in value


def test_only_who_looks_at_the_session_varies_with_it(client: TestClient) -> None:
    assert "vary" not in client.get("/untouched").headers
    assert client.get("/view").headers["vary"] == "Cookie"


def test_a_change_deep_inside_is_kept(client: TestClient) -> None:
    client.post("/update", json={"cart": {"items": []}})
    client.get("/deep")
    assert client.get("/view").json() == {"cart": {"items": ["one more"]}}


def test_clearing_ends_the_session_on_the_server(client: TestClient, address: str) -> None:
    client.post("/update", json={"a": 1})
    token = client.cookies["session"]
    response = client.get("/clear")
    assert "max-age=0" in response.headers["set-cookie"]
    assert "session" not in client.cookies
    assert kept_in(address) == {}
    client.cookies.set("session", token)
    assert client.get("/view").json() == {}
    assert "set-cookie" not in client.get("/clear").headers


def test_signing_in_changes_the_key(client: TestClient, address: str) -> None:
    client.post("/update", json={"cart": 1})
    before = client.cookies["session"]
    client.get("/sign_in")
    after = client.cookies["session"]
    assert after != before
    assert client.get("/view").json() == {"cart": 1, "user": "ada"}
    assert len(kept_in(address)) == 1
    with TestClient(client.app, cookies={"session": before}) as thief:
        assert thief.get("/view").json() == {}


@pytest.mark.parametrize("token", ["made-up", "", "é", "x" * (TOKEN_CHARACTERS_MAX + 1), "null"])
def test_a_key_that_was_not_made_here_is_never_taken_over(client: TestClient, token: str) -> None:
    headers = {b"cookie": f"session={token}".encode()}
    assert client.get("/view", headers=headers).json() == {}
    client.post("/update", json={"a": 1}, headers=headers)
    assert client.cookies["session"] != token


def test_a_view_that_raises_writes_nothing(client: TestClient, address: str) -> None:
    with pytest.raises(RuntimeError):
        client.get("/broken")
    with pytest.raises(SerializationFailed):
        client.get("/unstorable")
    assert kept_in(address) == {}


@pytest.mark.parametrize(("meanwhile", "left"), [("/clear", 0), ("/sign_in", 1)])
def test_a_slow_request_brings_back_no_session(
    client: TestClient, address: str, meanwhile: str, left: int
) -> None:
    client.post("/update", json={"cart": 1})
    token = client.cookies["session"]
    answer = client.post("/slow", content=meanwhile)
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers  # The browser may have another key by now.
    kept = kept_in(address)
    assert hashlib.sha256(token.encode()).digest() not in kept
    assert len(kept) == left
    assert client.get("/view").json() == {}


def test_a_session_may_be_replaced(client: TestClient) -> None:
    client.get("/replaced")
    assert client.get("/view").json() == {"plain": "dict"}


def test_what_changes_after_the_answer_is_kept(client: TestClient) -> None:
    client.get("/later")  # Nobody knows a key yet.
    assert client.get("/view").json() == {}
    client.post("/update", json={"a": 1})
    client.get("/later")
    assert client.get("/view").json() == {"a": 1, "later": True}


def test_websockets_share_the_session(client: TestClient) -> None:
    client.post("/update", json={"a": 1})
    with client.websocket_connect("wss://here/talk") as socket:
        socket.send_text("hello")
        assert socket.receive_json() == {"a": 1, "said": "hello"}
    assert client.get("/view").json() == {"a": 1, "said": "hello"}


def test_settings_of_the_cookie(address: str) -> None:
    app = make_app(
        address, session_cookie="id", max_age=None, path="/app", same_site="strict",
        https_only=True, domain="here", make_token=lambda: "chosen",
    )  # fmt: skip
    with TestClient(app, base_url="https://here") as client:
        cookie = client.post("/update", json={"a": 1}).headers["set-cookie"]
    assert cookie == "id=chosen; path=/app; httponly; samesite=strict; secure; domain=here"
    with pytest.raises(InvalidInput):
        SessionMiddleware(app, "memory://", max_age=0)


class Later(holdfast.ManualClock):
    """An hour from now."""

    def now_ms(self) -> int:
        return SystemClock().now_ms() + 3_600_000


def test_sessions_outlive_the_application_and_end_in_time(address: str) -> None:
    with TestClient(make_app(address, max_age=1_800)) as client:
        client.post("/update", json={"a": 1})
        cookies = dict(client.cookies)
    with TestClient(make_app(address), cookies=cookies) as client:
        assert client.get("/view").json() == {"a": 1}
    with holdfast.sync.open(address, clock=Later()) as db:
        assert list(db.stores.get("sessions").keys()) == []


def test_the_end_of_the_application_closes_the_database(address: str) -> None:
    app = make_app(address)
    with TestClient(app) as client:
        client.post("/update", json={"a": 1})
        stack: Any = app.middleware_stack
        [opened] = stack.app._place._loops.values()
        database = opened.database
    with pytest.raises(StoreClosed):
        database._gate.check()


def test_only_its_own_sessions_are_renewed(client: TestClient) -> None:
    request = Request({"type": "http", "session": {}, "headers": []})
    with pytest.raises(TypeError, match="SessionMiddleware"):
        renew_session(request)
