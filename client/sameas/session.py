"""One visitor: who they are is kept, and sent with every call."""

from collections.abc import Awaitable, Callable, MutableMapping
from datetime import datetime, timedelta
from typing import Any, Generic, TypedDict, TypeVar, Unpack

from sameas._calls import CallOptions
from sameas._visitor import State, Visitor
from sameas._writes import Writes
from sameas.clock import CLOCK
from sameas.errors import InvalidArgument
from sameas.storage import MemoryStorage, Storage, as_storage
from sameas.values import JsonObject, Receipt

ONE_YEAR = timedelta(days=365)

R = TypeVar("R")


class VisitorCalls(Generic[R]):
    """What `Session` and `AsyncSession` share."""

    def __init__(
        self,
        target: Writes[R],
        storage: Storage | MutableMapping[str, Any] | None = None,
        *,
        fallback: Storage | MutableMapping[str, Any] | None = None,
        expires: timedelta = ONE_YEAR,
        traits_in_context: bool = True,
        now: Callable[[], datetime] = CLOCK.now,
    ) -> None:
        """Begin without reading or writing.

        Args:
            target: What the calls go through.
            storage: Keeps the ids, for `expires` after the last write or visit (renewed at
                most once a day): the cookie. A mapping is wrapped in `MappingStorage`.
                Without a fallback it keeps the traits too. None: memory.
            fallback: Keeps ids and traits and does not expire: the local storage. When the
                storage is empty or expired, the ids are restored from here.
            expires: How long the storage holds.
            traits_in_context: Whether page, screen, track and group calls carry the known
                traits, as `traits` in their context, unless the call gives its own.
            now: The clock, for expiry and for the times of calls; for tests.
        """
        self._target = target
        first = MemoryStorage() if storage is None else as_storage(storage)
        second = None if fallback is None else as_storage(fallback)
        self._visitor = Visitor(first, second, expires, now)
        self._traits_in_context = traits_in_context

    @property
    def anonymous_id(self) -> str:
        """The device's id: 36 random characters, made and kept when first asked for.

        To set it overwrites the id, say by one that a server made. The device is then
        another one to the service, until a user signs in on it.
        """
        return self._visitor.ensure().anonymous_id or ""

    @anonymous_id.setter
    def anonymous_id(self, value: str) -> None:
        self._visitor.overwrite(value)

    @property
    def user_id(self) -> str | None:
        """The user who was identified, or None."""
        with self._visitor.lock:
            return self._visitor.read().user_id

    @property
    def traits(self) -> dict[str, Any]:
        """A copy of the traits given here since the last reset or change of user."""
        with self._visitor.lock:
            return dict(self._visitor.read().traits)

    def alias(self, user_id: str, **call: Unpack[CallOptions]) -> R:
        """Join this device to a new user: once for each user, at sign-up.

        Does not keep the user id: call `identify` next.
        """
        state, call = self._visitor.prepare(call)
        return self._target.alias(user_id, previous_anonymous_id=state.anonymous_id, **call)

    def track(
        self, event: str, properties: JsonObject | None = None, **call: Unpack[CallOptions]
    ) -> R:
        """Say what the visitor did."""
        state, call = self._with_traits(call)
        return self._target.track(event, properties, **_ids(state), **call)

    def page(
        self, name: str = "", properties: JsonObject | None = None, **call: Unpack[CallOptions]
    ) -> R:
        """Say that the visitor saw a page."""
        state, call = self._with_traits(call)
        return self._target.page(name, properties, **_ids(state), **call)

    def screen(
        self, name: str = "", properties: JsonObject | None = None, **call: Unpack[CallOptions]
    ) -> R:
        """Say that the visitor saw a screen."""
        state, call = self._with_traits(call)
        return self._target.screen(name, properties, **_ids(state), **call)

    def group(
        self, group_id: str, traits: JsonObject | None = None, **call: Unpack[CallOptions]
    ) -> R:
        """Say that the visitor belongs to a group; `traits` are the group's."""
        state, call = self._with_traits(call)
        return self._target.group(group_id, traits, **_ids(state), **call)

    def set_user_properties(self, properties: JsonObject, **call: Unpack[CallOptions]) -> R:
        """Set traits of the visitor without an event, and keeps them."""
        state, call = self._visitor.set_traits(properties, call)
        return self._target.update_profile(set=properties, **_ids(state), **call)

    def increment(self, trait: str, by: float = 1, **call: Unpack[CallOptions]) -> R:
        """Add to a number among the visitor's traits; an absent one counts from 0."""
        state, call = self._visitor.increment(trait, by, call)
        return self._target.update_profile(increment={trait: by}, **_ids(state), **call)

    def _with_traits(self, call: CallOptions) -> tuple[State, CallOptions]:
        state, call = self._visitor.prepare(call)
        context = call.get("context") or {}
        if self._traits_in_context and state.traits and "traits" not in context:
            call["context"] = {**context, "traits": state.traits}
        return state, call


class Session(VisitorCalls[R]):
    """One visitor, over a `Client` (calls answer with a receipt) or a `Buffer` (with an id).

        session = Session(client, request.session)  # a web framework's cookie session
        session.page("Pricing")                      # makes the anonymous id if need be
        session.identify("u-17", {"plan": "pro"})    # at each login
        session.track("Signed Up")                   # carries both ids
        session.reset()                              # at logout

    A web back-end makes one session for each request, over that visitor's cookie mapping
    (Flask and Starlette: as above; Django: the same `request.session`). A program for one
    person makes one, over a `JsonFileStorage`.

    The session keeps nothing itself: each call reads the storage, so what another session
    over the same storage did is seen. Threads may share a session; two sessions that make
    the first anonymous id at the same moment may make two.

    State changes before the call is sent: a logout holds even if the server cannot be
    reached. Only an identify that a client's server refuses as invalid is taken back.
    """

    def identify(
        self,
        user_id: str | None = None,
        traits: JsonObject | None = None,
        **call: Unpack[CallOptions],
    ) -> R:
        """Say who the visitor is, and keep it. Without a user id, add traits.

        Another user id than the one kept takes its place, and the traits kept are dropped;
        the anonymous id stays, and the service answers with the warning `DEVICE_SWITCHED`.
        Call `reset` at logout to part users who share a device.
        """
        before, after, call = self._visitor.identify(user_id, traits, call)
        try:
            return self._target.identify(
                after.user_id, traits, anonymous_id=after.anonymous_id, **call
            )
        except InvalidArgument:
            self._visitor.restore(before, after)
            raise

    def reset(self, **call: Unpack[CallOptions]) -> R | None:
        """End the visitor's use of the device, at logout, and forget them.

        User id, anonymous id and traits are removed from both storages; the next call makes
        a new anonymous id. None if there was no anonymous id: then nothing is sent.
        """
        state, call = self._visitor.reset(call)
        if state.anonymous_id is None:
            return None
        return self._target.reset(state.anonymous_id, user_id=state.user_id, **call)


class AsyncSession(VisitorCalls[Awaitable[Receipt]]):
    """The same over an `AsyncClient`; each call is awaited. See `Session`.

    The storages are called in the event loop: use memory or a mapping, not a slow disk.
    """

    async def identify(
        self,
        user_id: str | None = None,
        traits: JsonObject | None = None,
        **call: Unpack[CallOptions],
    ) -> Receipt:
        """Do as `Session.identify`."""
        before, after, call = self._visitor.identify(user_id, traits, call)
        try:
            return await self._target.identify(
                after.user_id, traits, anonymous_id=after.anonymous_id, **call
            )
        except InvalidArgument:
            self._visitor.restore(before, after)
            raise

    async def reset(self, **call: Unpack[CallOptions]) -> Receipt | None:
        """Do as `Session.reset`."""
        state, call = self._visitor.reset(call)
        if state.anonymous_id is None:
            return None
        return await self._target.reset(state.anonymous_id, user_id=state.user_id, **call)


class _Ids(TypedDict):
    user_id: str | None
    anonymous_id: str | None


def _ids(state: State) -> _Ids:
    return {"user_id": state.user_id, "anonymous_id": state.anonymous_id}
