"""One reply on its way to one client: a job's pieces → a JSON body or a stream of events.

The status goes out with the first piece, so that what is refused by then has a status of its own. A client that goes
away gives its place up at once; one that does not read its stream is let go after `UNREAD_S`. A whole reply is one
write, which waits for nobody: unread, it lies in the connection's buffer until the client goes.
"""

import asyncio

from fastapi import Response
from fastapi.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from twin.serve.desk import End, Job
from twin.serve.refusals import RefusedError
from twin.serve.request import Asked
from twin.serve.wording import Events, completion

UNREAD_S = 30.0
"""How long one write may wait for its reader."""
DROP = "twin.drop"
"""In the scope: closes the connection at once, whatever still waits for its reader."""
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Answering(Response):
    """The reply to one request, as it comes."""

    def __init__(self, asked: Asked, job: Job) -> None:
        super().__init__()
        self._asked = asked
        self._job = job
        self._named = {**HEADERS, "X-Request-Id": job.name}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and give the place up whatever happens."""
        how = self._stream(scope, receive, send) if self._asked.stream else self._whole(scope, receive, send)
        writing, watching = asyncio.create_task(how), asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait((writing, watching), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._job.cancel()
            writing.cancel()
            watching.cancel()
            written, _ = await asyncio.gather(writing, watching, return_exceptions=True)
        if isinstance(written, TimeoutError):
            scope[DROP]()
            await _gone(receive)
        elif isinstance(written, Exception):
            raise written

    async def _whole(self, scope: Scope, receive: Receive, send: Send) -> None:
        texts: list[str] = []
        end: End | None = None
        while end is None:
            more, end = await self._job.take()
            texts += more
        await self._response(end, "".join(texts))(scope, receive, _patient(send))

    def _response(self, end: End, text: str) -> Response:
        if isinstance(end, RefusedError):
            return refusal(end)
        return JSONResponse(completion(self._asked, self._job, text, end), headers=self._named)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        send = _patient(send)
        texts, end = await self._job.take()
        if isinstance(end, RefusedError) and not texts:
            await refusal(end)(scope, receive, send)
            return
        headers = {**self._named, "Content-Type": "text/event-stream; charset=utf-8"}
        encoded = [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": encoded})
        events = Events(self._asked, self._job)
        content = events.first()
        while True:
            content += b"".join([*events.texts(texts), *([] if end is None else events.end(end))])
            await send({"type": "http.response.body", "body": content, "more_body": end is None})
            if end is not None:
                return
            content = b""
            texts, end = await self._job.take()


def refusal(error: RefusedError) -> Response:
    """Return a refusal as a response."""
    return JSONResponse(error.body, error.status, headers={**HEADERS, **error.headers})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _patient(send: Send) -> Send:
    async def sending(message: object) -> None:
        async with asyncio.timeout(UNREAD_S):
            await send(message)  # type: ignore[arg-type]

    return sending
