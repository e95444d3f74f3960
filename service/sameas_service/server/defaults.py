"""Defaults and bounds that the server and the command line share."""

HOST_DEFAULT = "127.0.0.1"
PORT_DEFAULT = 50051

SECONDS_MAX = 365 * 86_400
"""A year: no visit and no call lasts longer."""
