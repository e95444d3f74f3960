# ruff: noqa: ASYNC109 - a timeout is gRPC's own deadline, which the server learns of too.
"""The writing calls as previews: what each would change, and nothing is kept."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from sameas import _answers, v1
from sameas._calls import PairRequest, WriteRequest
from sameas._pairs import Pairs
from sameas.values import Preview, Unlinked

Write = Callable[[WriteRequest | PairRequest, float | None], Any]
AsyncWrite = Callable[[WriteRequest | PairRequest, float | None], Awaitable[Any]]


class Previews(Pairs[Preview, Unlinked]):
    """The writing calls of a `Client`, each answered with what it would change."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def _deliver(self, request: WriteRequest, timeout: float | None) -> Preview:
        request.validate_only = True
        return _answers.preview(self._write(request, timeout))

    def _merge(self, request: v1.MergeRequest, timeout: float | None) -> Preview:
        request.validate_only = True
        return _answers.preview(self._write(request, timeout))

    def _unlink(self, request: v1.UnlinkRequest, timeout: float | None) -> Unlinked:
        request.validate_only = True
        return _answers.unlinked(self._write(request, timeout))


class AsyncPreviews(Pairs[Coroutine[Any, Any, Preview], Coroutine[Any, Any, Unlinked]]):
    """The same of an `AsyncClient`, to be awaited."""

    def __init__(self, write: AsyncWrite) -> None:
        self._write = write

    async def _deliver(self, request: WriteRequest, timeout: float | None) -> Preview:
        request.validate_only = True
        return _answers.preview(await self._write(request, timeout))

    async def _merge(self, request: v1.MergeRequest, timeout: float | None) -> Preview:
        request.validate_only = True
        return _answers.preview(await self._write(request, timeout))

    async def _unlink(self, request: v1.UnlinkRequest, timeout: float | None) -> Unlinked:
        request.validate_only = True
        return _answers.unlinked(await self._write(request, timeout))
