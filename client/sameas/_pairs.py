"""Merge and unlink, written once for both clients and for previews.

They are apart from `Writes`, which a `Buffer` has too: the service dates them when it gets
them, so they are calls of their own and not messages of a batch.
"""

from abc import abstractmethod
from typing import Generic, TypeVar

from sameas import _calls, v1
from sameas._writes import R_co, Writes

U_co = TypeVar("U_co", covariant=True)


class Pairs(Writes[R_co], Generic[R_co, U_co]):
    """The calls that join two users, and part what was joined, after the fact.

    The service dates both, so they take no `timestamp`. `reason` is kept with the message: at
    most 1,024 bytes.
    """

    def merge(
        self,
        user_id: str,
        previous_user_id: str,
        *,
        reason: str = "",
        message_id: str | None = None,
        timeout: float | None = None,
    ) -> R_co:
        """Say that two user ids are one person, of whom `user_id` stays the canonical one."""
        return self._merge(_calls.merge(user_id, previous_user_id, reason, message_id), timeout)

    def unlink(
        self,
        user_id: str,
        *,
        anonymous_id: str | None = None,
        previous_user_id: str | None = None,
        reason: str = "",
        message_id: str | None = None,
        timeout: float | None = None,
    ) -> U_co:
        """Take back what joins a user and a device, or two users. Give one of the two.

        Their claims and direct links up to now do not count any more, whenever they arrive;
        later ones do. Both sides are what they would have been.
        """
        request = _calls.unlink(user_id, anonymous_id, previous_user_id, reason, message_id)
        return self._unlink(request, timeout)

    @abstractmethod
    def _merge(self, request: v1.MergeRequest, timeout: float | None) -> R_co:
        """Send a finished request; `timeout` is in seconds."""

    @abstractmethod
    def _unlink(self, request: v1.UnlinkRequest, timeout: float | None) -> U_co:
        """Send a finished unlink."""
