"""The wire: protos to values and back, and nothing that decides."""
