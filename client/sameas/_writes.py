"""The writing calls, written once for `Client`, `AsyncClient` and `Buffer`.

The three differ only in what becomes of a finished request, `_deliver`, and so in what a
call returns: a receipt, a receipt to be awaited, or the id of a message queued.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar, Unpack, cast

from sameas import _calls, v1
from sameas._calls import CallOptions, ProfileOptions, WriteRequest
from sameas.values import JsonObject

R_co = TypeVar("R_co", covariant=True)

# Named once: to look an enum's value up by name costs as much as making an id.
_TRACK = v1.MessageKind.MESSAGE_KIND_TRACK
_PAGE = v1.MessageKind.MESSAGE_KIND_PAGE
_SCREEN = v1.MessageKind.MESSAGE_KIND_SCREEN
_GROUP = v1.MessageKind.MESSAGE_KIND_GROUP


class Writes(ABC, Generic[R_co]):
    """The calls that say who did what.

    Ids are 1 to 256 bytes; None and the empty text both mean absent. Dicts go out as JSON of
    at most 32 KiB. All calls take the keywords of `CallOptions` (`timestamp`, `context`,
    `message_id`, `timeout`), may be repeated with the same `message_id`, and raise
    `SameasError`: `InvalidArgument` where the call itself is wrong.
    """

    def identify(
        self,
        user_id: str | None = None,
        traits: JsonObject | None = None,
        *,
        anonymous_id: str | None = None,
        **call: Unpack[CallOptions],
    ) -> R_co:
        """Say who a user is, at each login and when traits change. Either id or both.

        With both ids the device's anonymous past joins the user at once.
        """
        return self._send(_calls.identify(user_id, traits, anonymous_id), **call)

    def alias(
        self,
        user_id: str,
        *,
        previous_anonymous_id: str | None = None,
        previous_user_id: str | None = None,
        anonymous_id: str | None = None,
        **call: Unpack[CallOptions],
    ) -> R_co:
        """Join one source to a user, at sign-up: a device, or a former user id.

        A former user id makes the two users one person, of whom `user_id` stays the
        canonical one. `anonymous_id`, the caller's own device, then claims nothing.
        """
        request = _calls.alias(user_id, previous_anonymous_id, previous_user_id, anonymous_id)
        return self._send(request, **call)

    def track(
        self,
        event: str,
        properties: JsonObject | None = None,
        *,
        user_id: str | None = None,
        anonymous_id: str | None = None,
        **call: Unpack[CallOptions],
    ) -> R_co:
        """Say what somebody did: an event of 1 to 256 bytes. Either id or both."""
        return self._track(_TRACK, event, properties, (user_id, anonymous_id), call)

    def page(
        self,
        name: str = "",
        properties: JsonObject | None = None,
        *,
        user_id: str | None = None,
        anonymous_id: str | None = None,
        **call: Unpack[CallOptions],
    ) -> R_co:
        """Say that somebody saw a page of a site. Either id or both."""
        return self._track(_PAGE, name, properties, (user_id, anonymous_id), call)

    def screen(
        self,
        name: str = "",
        properties: JsonObject | None = None,
        *,
        user_id: str | None = None,
        anonymous_id: str | None = None,
        **call: Unpack[CallOptions],
    ) -> R_co:
        """Say that somebody saw a screen of an app. Either id or both."""
        return self._track(_SCREEN, name, properties, (user_id, anonymous_id), call)

    def group(
        self,
        group_id: str,
        traits: JsonObject | None = None,
        *,
        user_id: str | None = None,
        anonymous_id: str | None = None,
        **call: Unpack[CallOptions],
    ) -> R_co:
        """Say that somebody belongs to a group: kept, and without effect on identity."""
        return self._track(_GROUP, group_id, traits, (user_id, anonymous_id), call)

    def reset(
        self, anonymous_id: str, *, user_id: str | None = None, **call: Unpack[CallOptions]
    ) -> R_co:
        """End a device's present use, at logout. It cannot be undone.

        What the device does next is another, anonymous person's until somebody signs in.
        """
        return self._send(_calls.reset(anonymous_id, user_id), **call)

    def update_profile(
        self,
        *,
        user_id: str | None = None,
        anonymous_id: str | None = None,
        **changes: Unpack[ProfileOptions],
    ) -> R_co:
        """Change traits without an event. Either id or both, and at least one operation.

        Operations are the keywords `set`, `set_once`, `unset`, `increment`, `append`,
        `union` and `remove`, explained in `ProfileOptions`.
        """
        given = cast("dict[str, Any]", changes)
        operations = {name: given.pop(name) for name in _calls.OPERATIONS if name in given}
        request = _calls.update_profile(user_id, anonymous_id, operations)
        return self._send(request, **cast("CallOptions", given))

    def _track(
        self,
        kind: v1.MessageKind.ValueType,
        event: str,
        properties: JsonObject | None,
        ids: Sequence[str | None],
        call: CallOptions,
    ) -> R_co:
        return self._send(_calls.track(kind, event, properties, *ids), **call)

    def _send(
        self,
        request: WriteRequest,
        *,
        timestamp: datetime | None = None,
        context: JsonObject | None = None,
        message_id: str | None = None,
        timeout: float | None = None,
    ) -> R_co:
        _calls.stamp(request, timestamp, context, message_id)
        return self._deliver(request, timeout)

    @abstractmethod
    def _deliver(self, request: WriteRequest, timeout: float | None) -> R_co:
        """Send or queue a stamped request; `timeout` is in seconds."""
