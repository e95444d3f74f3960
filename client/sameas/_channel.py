"""How the client connects: retries, keepalive and size limits, as gRPC channel options.

Calls are retried by gRPC itself, by the service config below, and nowhere else: gRPC knows
whether the deadline allows another attempt, obeys the server's `grpc-retry-pushback-ms`, and
stops retrying when most calls fail. It is safe because each call carries its message id.
"""

import json
from typing import Any

import grpc
import grpc.aio

DEFAULT_TARGET = "127.0.0.1:50051"
"""Where a client connects if not told otherwise."""

TIMEOUT_SECONDS = 5.0
"""Deadline of a call if not told otherwise, all attempts included."""

SERVICES = ("sameas.v1.IdentityService", "sameas.v1.PersonService")

_RECEIVE_BYTES_MAX = 128 * 1024 * 1024
_RETRY_BYTES_MAX = 5 * 1024 * 1024

_SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [{"service": service} for service in SERVICES],
            "retryPolicy": {
                # Pauses of about 0.1, 0.4 and 1.6 s: long enough to outlast a restart of
                # the server within the default deadline.
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 4,
                # Nothing was done, or what was done is recognised by its message id. With
                # CANCELLED a server's gRPC core ends calls that no handler has taken, as it
                # shuts down or sheds load; a call that its own caller cancelled is never retried.
                "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"],
            },
        }
    ],
    # Each failed attempt costs one token and each success gives back a tenth; below half of
    # them nothing is retried. So an outage is not made worse by its victims. It is the most
    # that gRPC allows, since a burst of some thousand calls at once is more than a server
    # lets wait, and what it refuses of it should be tried again.
    "retryThrottling": {"maxTokens": 1000, "tokenRatio": 0.1},
}


def channel_options() -> list[tuple[str, Any]]:
    """Return the options that `Client` opens its channel with, for those who make their own."""
    return [
        ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
        ("grpc.enable_retries", 1),
        # gRPC does not retry a request larger than this; the default (256 KiB) is less than
        # a batch may have (4 MiB).
        ("grpc.per_rpc_retry_buffer_size", _RETRY_BYTES_MAX),
        # Pings above the server's minimum (20 s) find a dead connection between calls.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # A server that restarts is found again within the pauses of the retries.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 1_000),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        # Pages of a timeline and large profiles are more than gRPC's default of 4 MiB. What
        # is sent has limits of its own, checked before.
        ("grpc.max_receive_message_length", _RECEIVE_BYTES_MAX),
        ("grpc.max_send_message_length", -1),
        ("grpc.primary_user_agent", "sameas-python"),
    ]


def open_channel(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
    """Open a channel to `host:port`; TLS if there are credentials, plain text otherwise."""
    if credentials is None:
        return grpc.insecure_channel(target, options=channel_options())
    return grpc.secure_channel(target, credentials, options=channel_options())


def open_aio_channel(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
    """Open the same for asyncio; it belongs to the event loop that runs now."""
    if credentials is None:
        return grpc.aio.insecure_channel(target, options=channel_options())
    return grpc.aio.secure_channel(target, credentials, options=channel_options())


def call_metadata(key: str | None) -> tuple[tuple[str, str], ...]:
    """Return the metadata that goes with each call: the workspace's key, if there is one."""
    return (("authorization", f"Bearer {key}"),) if key else ()
