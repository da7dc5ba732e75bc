"""JSON over HTTP: FastAPI on uvicorn, httpx at the client, as their documentation has them."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from ..payloads import RECORD, RECORD_SIZE, data
from .contender import Contender, free_port, when_open

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from .contender import AsyncCall, Call, Ready


def serve_asgi(app: Any, ready: Ready) -> None:
    """Serve with uvicorn: uvloop, httptools, no access log."""
    import uvicorn

    port = free_port()
    when_open(port, ready)
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
    )


def application() -> Any:
    """The FastAPI application, with types at both ends as its tutorial has them."""
    import fastapi
    import pydantic

    class Line(pydantic.BaseModel):
        sku: str
        qty: int
        price: float

    class Record(pydantic.BaseModel):
        id: int
        customer: str
        status: str
        total: float
        currency: str
        paid: bool
        lines: list[Line]
        note: str

    app = fastapi.FastAPI()

    async def echo(record: Any) -> Any:
        return record

    async def echo_data(request: Any) -> Any:
        return fastapi.Response(await request.body(), media_type="application/octet-stream")

    # The annotations of this file are texts, which FastAPI could not find inside a function.
    echo.__annotations__ = {"record": Record, "return": Record}
    echo_data.__annotations__ = {"request": fastapi.Request}
    app.post("/echo")(echo)
    app.post("/data", response_class=fastapi.Response)(echo_data)
    return app


class HttpJson(Contender):
    """A record as JSON, bytes as they are."""

    title = "HTTP JSON"
    setup = "FastAPI on uvicorn with uvloop and httptools; one httpx client for all callers"
    needs = ("fastapi", "uvicorn", "httptools", "httpx")

    def serve(self, ready: Ready) -> None:
        serve_asgi(application(), ready)

    @staticmethod
    def settings(port: int) -> dict[str, Any]:
        """httpx's usual limits: with more idle connections than its 20 it becomes slower still."""
        return {"base_url": f"http://127.0.0.1:{port}", "timeout": 30, "trust_env": False}

    @contextmanager
    def open(self, port: int, size: int, count: int) -> Iterator[list[Call]]:
        import httpx

        body = data(size)
        with httpx.Client(**self.settings(port)) as client:
            if size == RECORD_SIZE:
                yield [lambda: client.post("/echo", json=RECORD).raise_for_status().json()] * count
            else:
                yield [
                    lambda: client.post("/data", content=body).raise_for_status().content
                ] * count

    @asynccontextmanager
    async def open_async(self, port: int, size: int, count: int) -> AsyncIterator[list[AsyncCall]]:
        import httpx

        body = data(size)
        async with httpx.AsyncClient(**self.settings(port)) as client:

            async def echo() -> Any:
                return (await client.post("/echo", json=RECORD)).raise_for_status().json()

            async def echo_data() -> Any:
                return (await client.post("/data", content=body)).raise_for_status().content

            yield [echo if size == RECORD_SIZE else echo_data] * count
