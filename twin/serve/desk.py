"""Where replies are made, one at a time: requests from the event loop → pieces from one thread of MLX's.

MLX's streams belong to the thread that made them, so that the twin is loaded, asked and dropped on one thread of its
own. What it says goes into the reply's box and waits there for whoever reads it. A slow reader holds up nobody: the
box holds one reply, which the limit of its tokens bounds, and the next one begins whether it was read or not.
"""

import asyncio
import gc
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from uuid import uuid4

from twin.errors import DataError, RoomError
from twin.live import Answerer, Behind, Options
from twin.prompt import Message
from twin.serve.refusals import BUSY, RefusedError, failed, stopping, wrong

LONGEST_RETRY_S = 60
PACE_S = 0.02
"""Between two looks into a box: what a small model says faster than anybody reads goes out together, and the thread
that says it is not held up by the loop."""

logger = logging.getLogger(__name__)

End = Behind | RefusedError
"""How a reply ended: well, or not."""


class Job:
    """One reply on its way: a box that the thread fills and the event loop empties."""

    def __init__(self, messages: Sequence[Message], options: Options) -> None:
        self.name = f"chatcmpl-{uuid4().hex}"
        self.messages = messages
        self.options = options
        self.created = int(time.time())
        self.cancelled = threading.Event()
        self.future: Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._filled = asyncio.Event()
        self._whole = asyncio.Event()
        self._looked_s = -math.inf
        self._pieces: deque[str | End] = deque()
        self._told = False

    def put(self, piece: str | End) -> None:
        """Add a piece, from any thread; an empty one says that the text is whole, so that nobody waits with it."""
        if piece:
            self._pieces.append(piece)
        if not piece or not isinstance(piece, str):
            self._loop.call_soon_threadsafe(self._whole.set)
        if not self._told:  # the reader takes all there is, so that one call wakes it for many pieces
            self._told = True
            self._loop.call_soon_threadsafe(self._filled.set)

    async def take(self) -> tuple[list[str], End | None]:
        """Wait for pieces; return all there are, and how the reply ended if it did."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._whole.wait(), self._looked_s + PACE_S - self._loop.time())
        while not self._pieces:
            self._filled.clear()
            self._told = False
            if not self._pieces:
                await self._filled.wait()
        self._looked_s = self._loop.time()
        texts: list[str] = []
        while self._pieces:
            piece = self._pieces.popleft()
            if not isinstance(piece, str):
                return texts, piece
            texts.append(piece)
        return texts, None

    def cancel(self) -> None:
        """Give the place up: nobody wants the reply any more."""
        self.cancelled.set()
        if self.future is not None and self.future.cancel():
            self.messages = ()  # the thread's queue keeps the job until its turn would have come

    def refuse(self, error: RefusedError) -> None:
        """End it with `error` instead of the rest."""
        self.put(error)
        self.cancel()


class Desk:
    """A twin on its thread, and those who wait for it."""

    def __init__(self, load: Callable[[], Answerer], waiting: int, leave: Callable[[], None] = lambda: None) -> None:
        """Load the twin.

        Args:
            load: makes the twin, on its thread.
            waiting: requests that may wait, besides the one that is answered.
            leave: called on the thread before it ends, when the twin is gone.
        """
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="twin-reply")
        self._leave = leave
        self._places = waiting + 1
        self._open: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._last_s = 1.0
        self.stopping = False
        try:
            self._answerer = self._thread.submit(load).result()
        except BaseException:
            self._end()
            raise
        self.models = tuple(self._answerer.models())

    @property
    def taken(self) -> int:
        """Requests that are answered or wait."""
        with self._lock:
            return len(self._open)

    def ask(self, messages: Sequence[Message], options: Options) -> Job:
        """Take a request, on the event loop's thread.

        Raises:
            RefusedError: every place is taken, or the server is stopping.
        """
        if self.stopping:
            raise stopping()
        with self._lock:
            if len(self._open) >= self._places:
                raise self._busy()
            job = Job(messages, options)
            self._open[job.name] = job
        job.future = self._thread.submit(self._answer, job)
        job.future.add_done_callback(lambda _: self._close(job))
        return job

    def stop(self) -> None:
        """Take no more requests and send away those that wait; the one that is answered goes on."""
        self.stopping = True
        with self._lock:
            waiting = [job for job in self._open.values() if job.future is not None and not job.future.running()]
        for job in waiting:
            job.refuse(stopping())

    def cut(self) -> None:
        """End the reply that is still being made."""
        with self._lock:
            left = list(self._open.values())
        for job in left:
            job.refuse(stopping())

    def close(self) -> None:
        """Let the twin go, on its own thread, and the thread with it."""
        del self._answerer
        self._end()

    def _end(self) -> None:
        self._thread.submit(gc.collect)  # what refers to itself holds arrays too
        self._thread.submit(self._leave).result()
        self._thread.shutdown()

    def _close(self, job: Job) -> None:
        with self._lock:
            self._open.pop(job.name, None)

    def _busy(self) -> RefusedError:
        wait_s = min(LONGEST_RETRY_S, max(1, math.ceil(self._last_s * len(self._open))))
        return RefusedError(
            429,
            f"{self._places} requests are answered or wait, and no more may. Ask again in {wait_s} s.",
            kind=BUSY,
            code="queue_full",
            retry_s=wait_s,
        )

    def _answer(self, job: Job) -> None:
        started_s = time.perf_counter()
        end: End | None
        try:
            end = self._said(job)
        except Exception as error:  # whatever it is, this client is told, and the next one answered
            end = _refusal(job.name, error)
        self._last_s = time.perf_counter() - started_s
        self._close(job)  # before the client hears the end: who asks once it has an answer finds a place
        if end is not None:
            job.put(end)

    def _said(self, job: Job) -> Behind | None:
        pieces = self._answerer.answer(job.messages, job.options, job.cancelled)
        end: Behind | None = None
        try:
            for piece in pieces:
                if isinstance(piece, Behind):
                    end = piece
                else:
                    job.put(piece)
        finally:
            if isinstance(pieces, Generator):
                pieces.close()
        if end is None and not job.cancelled.is_set():
            raise AssertionError("an answerer ends with what lies behind the reply")
        return end


def _refusal(name: str, error: Exception) -> RefusedError:
    if isinstance(error, RoomError):
        return wrong(
            "messages",
            f"This model's maximum context length is {error.context_tokens} tokens; the messages take "
            f"{error.prompt_tokens} and the reply up to {error.reply_tokens}. Shorten either.",
            "context_length_exceeded",
        )
    if isinstance(error, DataError):
        return wrong("messages", str(error))
    logger.error("%s failed", name, exc_info=error)
    return failed(name)
