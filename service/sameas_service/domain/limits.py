"""Every bound on what one message or one call may hold.

They depend on the message alone, so that acceptance cannot depend on order.
"""

ID_BYTES_MAX = 256
"""Bytes of UTF-8 of an anonymous, user or message id."""

EVENT_BYTES_MAX = 256
"""Bytes of UTF-8 of an event name."""

PAYLOAD_BYTES_MAX = 32 * 1024
"""Bytes of canonical JSON of properties, traits, operations or context."""

PAYLOAD_TEXT_BYTES_MAX = 4 * PAYLOAD_BYTES_MAX
"""Characters of JSON text that are looked at, white space and all."""

PAYLOAD_DEPTH_MAX = 16
"""Levels of objects and lists; `{}` is one level."""

INTEGER_MAX = 2**53
"""Whole numbers up to here are the same in every reader of JSON (RFC 7493, 2.2)."""

OPERATIONS_MAX = 1_000
"""Operations on traits in one message."""

LIST_ELEMENTS_MAX = 1_000
"""Elements that a list keeps after `append` and `union`: the latest."""

TRAITS_MANY = 1_000
"""Traits of a person beyond which a warning is given."""

REASON_BYTES_MAX = 1_024
"""Bytes of UTF-8 of the reason text of a merge or unlink."""

BATCH_MESSAGES_MAX = 2_500
"""Messages of a batch, as in Segment's API."""

BATCH_BYTES_MAX = 4 * 1024 * 1024
"""Bytes of a batch on the wire, gRPC's customary message size."""

PERSONS_MAX = 1_000
"""Ids of one `BatchGetPersons`."""

PAGE_SIZE_DEFAULT = 50
PAGE_SIZE_MAX = 1_000

ANONYMOUS_IDS_MAX = 1_000
"""Anonymous ids that one answer lists of a person."""

HISTORY_MESSAGES_MAX = 500_000
"""Messages that one answer about the past may be derived from: some 2 GB while it is made."""
