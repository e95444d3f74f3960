"""What a session knows about its visitor, and how each call changes it.

It keeps nothing itself: what the storages have counts. So sessions over the same storages
(the tabs of a browser, the requests of one visitor) agree: a logout in one is one in all.
"""

import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sameas._calls import CallOptions, json_text
from sameas.errors import InvalidArgument
from sameas.ids import new_anonymous_id
from sameas.storage import Storage
from sameas.values import JsonObject

_LOG = logging.getLogger("sameas")
_RENEWAL_MAX = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class State:
    """What is known about a visitor. None: not known."""

    anonymous_id: str | None = None
    user_id: str | None = None
    traits: dict[str, Any] = field(default_factory=dict)

    def identified(self, user_id: str | None, traits: Mapping[str, Any] | None) -> "State":
        """Return the state after an identify. Another user does not inherit the traits kept."""
        is_other = bool(user_id and self.user_id and user_id != self.user_id)
        kept = {} if is_other else self.traits
        return replace(self, user_id=user_id or self.user_id, traits={**kept, **(traits or {})})


class Visitor:
    """A visitor's state in its storages. Methods are atomic for threads that share it."""

    def __init__(
        self,
        storage: Storage,
        fallback: Storage | None,
        expires: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        self._storage = storage
        self._fallback = fallback
        self._expires = expires
        # Renewed at each visit, but not written at each call.
        self._renewal = min(_RENEWAL_MAX, expires / 2)
        self._now = now
        self.lock = threading.RLock()

    def read(self) -> State:
        """Return the state now: of the storage or, where that has none or expired, the fallback."""
        now = self._now().timestamp()
        kept = _checked(self._storage.load())
        if kept is not None and kept.holds(now) and (kept.state.anonymous_id or not self._fallback):
            state = self._with_fallback_traits(kept.state)
            if kept.holds(now + (self._expires - self._renewal).total_seconds()):
                return state
            self.write(state)  # a visitor who keeps coming does not expire
            return state
        restored = _checked(self._fallback.load()) if self._fallback else None
        if restored is None:
            return State()
        self.write(restored.state)
        return restored.state

    def write(self, state: State) -> None:
        """Keep the state; ids in both storages, traits in the fallback if there is one."""
        ids = {"anonymous_id": state.anonymous_id, "user_id": state.user_id}
        expires_at = (self._now() + self._expires).timestamp()
        if self._fallback is None:
            self._storage.save({**ids, "traits": state.traits, "expires_at": expires_at})
            return
        self._fallback.save({**ids, "traits": state.traits})
        self._storage.save({**ids, "expires_at": expires_at})

    def clear(self) -> None:
        """Forget the visitor, in both storages."""
        if self._fallback is not None:
            self._fallback.clear()
        self._storage.clear()

    def ensure(self) -> State:
        """Return the state, with an anonymous id: a new one is made and kept if there is none."""
        with self.lock:
            state = self.read()
            if state.anonymous_id is None:
                state = replace(state, anonymous_id=new_anonymous_id())
                self.write(state)
            return state

    def overwrite(self, anonymous_id: str) -> None:
        """Take another anonymous id, made elsewhere."""
        if not isinstance(anonymous_id, str) or not anonymous_id:
            raise InvalidArgument(
                "an anonymous id is a text that is not empty",
                reason="ID_REQUIRED",
                metadata={"field": "anonymous_id"},
            )
        with self.lock:
            self.write(replace(self.read(), anonymous_id=anonymous_id))

    def prepare(self, call: CallOptions) -> tuple[State, CallOptions]:
        """Return the state, with an anonymous id, and a call's keywords with its time.

        Both are taken under one lock: so no reset of another thread comes between, and a
        call never carries the ids of a use that had ended by then.
        """
        with self.lock:
            return self.ensure(), self._stamped(call)

    def identify(
        self, user_id: str | None, traits: JsonObject | None, call: CallOptions
    ) -> tuple[State, State, CallOptions]:
        """Keep who the visitor is. Return the states before and after, and the call's keywords."""
        if user_id is not None and not isinstance(user_id, str):
            raise TypeError("user_id must be a text; convert other ids with str()")
        known = _pure_json(traits)
        with self.lock:
            before = self.ensure()
            after = before.identified(user_id, known)
            if after != before:
                self.write(after)
            return before, after, self._stamped(call)

    def restore(self, before: State, after: State) -> None:
        """Go back to `before`, unless another call changed the state since."""
        with self.lock:
            if self.read() == after:
                self.write(before)

    def set_traits(self, traits: JsonObject, call: CallOptions) -> tuple[State, CallOptions]:
        """Keep more traits."""
        _, after, call = self.identify(None, traits, call)
        return after, call

    def increment(self, trait: str, by: float, call: CallOptions) -> tuple[State, CallOptions]:
        """Add to a trait that is kept as a number. Only the service knows what others are."""
        _pure_json({trait: by})
        with self.lock:
            state = self.ensure()
            value = state.traits.get(trait)
            if isinstance(value, int | float) and not isinstance(value, bool):
                state = replace(state, traits={**state.traits, trait: value + by})
                self.write(state)
            return state, self._stamped(call)

    def reset(self, call: CallOptions) -> tuple[State, CallOptions]:
        """Forget the visitor. Return the state that was."""
        with self.lock:
            state = self.read()
            self.clear()
            return state, self._stamped(call)

    def _stamped(self, call: CallOptions) -> CallOptions:
        return {**call, "timestamp": call.get("timestamp") or self._now()}

    def _with_fallback_traits(self, state: State) -> State:
        """Return the state with the fallback's traits, unless they are of another user."""
        if self._fallback is None:
            return state
        local = _checked(self._fallback.load())
        is_same = local is not None and local.state.user_id == state.user_id
        return replace(state, traits=local.state.traits if local and is_same else {})


@dataclass(frozen=True, slots=True)
class _Kept:
    state: State
    expires_at: float | None
    """Seconds since 1970; None: never, as in a browser's local storage."""

    def holds(self, at: float) -> bool:
        return self.expires_at is None or at < self.expires_at


def _checked(loaded: object) -> _Kept | None:
    """Return what a storage had, if it is what `write` writes: anybody can write a cookie."""
    if loaded is None:
        return None
    try:
        return _parsed(loaded)
    except TypeError:
        _LOG.warning("ignoring what the session's storage has: it is not a session's state")
        return None


def _parsed(loaded: object) -> _Kept:
    if not isinstance(loaded, Mapping):
        raise TypeError("not an object")
    anonymous_id, user_id = loaded.get("anonymous_id"), loaded.get("user_id")
    traits, expiry = loaded.get("traits", {}), loaded.get("expires_at")
    if not all(isinstance(each, str | None) for each in (anonymous_id, user_id)):
        raise TypeError("ids are texts")
    if not isinstance(traits, dict):
        raise TypeError("traits are an object")
    if expiry is not None and not isinstance(expiry, int | float):
        raise TypeError("the expiry is a number")
    state = State(anonymous_id or None, user_id or None, traits)
    return _Kept(state, expiry)


def _pure_json(value: JsonObject | None) -> dict[str, Any]:
    """Return a copy that shares nothing with the caller's object, and that any storage can keep.

    Raises:
        InvalidArgument: If it is no JSON object.
    """
    text = json_text(value, "traits")
    copy: dict[str, Any] = json.loads(text) if text else {}
    return copy
