"""The composition root: config, store, servicers, health, reflection, port."""

import asyncio
import logging
from functools import partial
from types import TracebackType
from typing import Self

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from sameas.v1 import identity_service_pb2, person_service_pb2
from sameas_service.resolver.facts import Workspace
from sameas_service.resolver.resolver import Resolver
from sameas_service.server.config import Config
from sameas_service.server.listening import CannotListen, refusal_to_listen
from sameas_service.server.options import OPTIONS
from sameas_service.servicer.handlers import add_service
from sameas_service.servicer.identity import IdentityServicer
from sameas_service.servicer.persons import PersonServicer
from sameas_service.store.sqlite.store import SqliteStore

log = logging.getLogger(__name__)

DRAIN_FAILED_SECONDS = 0.5
"""How long calls under way may go on once the disk failed: what they wait for is refused."""

IDENTITY = identity_service_pb2.DESCRIPTOR.services_by_name["IdentityService"]
PERSON = person_service_pb2.DESCRIPTOR.services_by_name["PersonService"]
SERVICES = (IDENTITY.full_name, PERSON.full_name)

_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_SERVING = health_pb2.HealthCheckResponse.SERVING


class App:
    """A server: started by `async with`, stopped gracefully at its end.

    Attributes:
        port: where it listens, once started.
        failed: set when the disk failed; the process should end with an error.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._health = health.aio.HealthServicer()
        self._server = grpc.aio.server(options=OPTIONS)
        self.failed = asyncio.Event()
        self.port = 0

    async def __aenter__(self) -> Self:
        """Open the store, listen, and report SERVING once the store answers."""
        loop = asyncio.get_running_loop()
        for name in ("", *SERVICES):
            await self._health.set(name, _NOT_SERVING)
        store = SqliteStore(self._config.data)
        rules = self._config.rules
        workspace = store.workspace(rules.workspace, rules.session_gap)
        failed = partial(loop.call_soon_threadsafe, self.failed.set)
        self._resolver = Resolver(store, on_failure=failed)
        try:
            await self._listen(workspace)
        except BaseException:
            await self._resolver.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Report NOT_SERVING, let calls under way end, then close the store."""
        await self._health.enter_graceful_shutdown()
        self._resolver.stop_following()
        drain = self._config.drain_seconds
        await self._server.stop(min(drain, DRAIN_FAILED_SECONDS) if self.failed.is_set() else drain)
        await self._resolver.close()

    async def _listen(self, workspace: Workspace) -> None:
        servicers = (
            (IDENTITY, IdentityServicer(self._resolver, self._config.blocked)),
            (PERSON, PersonServicer(self._resolver)),
        )
        for service, servicer in servicers:
            add_service(self._server, service, servicer, workspace)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        self.port = self._bound_port()
        await self._server.start()
        if await self._resolver.ready():
            for name in ("", *SERVICES):
                await self._health.set(name, _SERVING)

    def _bound_port(self) -> int:
        """Bind the port. Return its number.

        Raises:
            CannotListen: naming what is in the way.
        """
        host, port = self._config.host, self._config.port
        try:
            return self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError as error:
            reason = refusal_to_listen(host, port)
            if reason is None:
                raise
            raise CannotListen(f"cannot listen on {host}:{port}; {reason}") from error
