"""gRPC channel arguments of the server, each with its reason. gRPC ignores a misspelt one,
so a test looks for every name in the library.
"""

OPTIONS = (
    # By default two servers share a port without a word, and each gets half the calls.
    ("grpc.so_reuseport", 0),
    # Above the 4 MiB of a batch, so that a larger one is refused by us, with a reason.
    ("grpc.max_receive_message_length", 8 * 1024 * 1024),
    # An answer can be larger than its call: a page of 1,000 messages with 64 KiB each.
    ("grpc.max_send_message_length", 128 * 1024 * 1024),
    # Sockets that never speak would use up the file descriptors for two minutes each.
    ("grpc.server_handshake_timeout_ms", 5_000),
    ("grpc.max_connection_idle_ms", 300_000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Clients may ping every 20 seconds; the default answers that with GOAWAY.
    ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
    # Calls that Python has not taken yet wait in gRPC's core, unseen. Once so many wait, it ends
    # some of the new ones with CANCELLED, more of them as more wait, and beyond the second number
    # all: a 25th of a second's work, and an eighth (by default a third, and a second). Measured,
    # that costs a tenth of a `Track`; to refuse in Python costs two thirds of one. With 150 and
    # 450, calls that were let in at twice the capacity waited for a third of a second.
    ("grpc.server.max_pending_requests", 100),
    ("grpc.server.max_pending_requests_hard_limit", 300),
    # After so many seconds it ends those that still wait: the calls before may be large.
    ("grpc.server_max_unrequested_time_in_server", 2),
    ("grpc.enable_channelz", 0),
)
