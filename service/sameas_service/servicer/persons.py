"""`PersonService`: answers who is who."""

import asyncio
from collections.abc import AsyncIterator

from sameas import v1
from sameas_service.domain import payload
from sameas_service.domain.errors import Reason, Refused
from sameas_service.domain.kinds import Kind
from sameas_service.domain.limits import PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, PERSONS_MAX
from sameas_service.resolver.ports import Filter, PersonKey, PersonView, Store
from sameas_service.servicer.calls import microseconds
from sameas_service.servicer.changed import cursor_of, watched_of
from sameas_service.servicer.explained import explanation_of
from sameas_service.servicer.handlers import Context
from sameas_service.servicer.listed import message_of, put_time
from sameas_service.servicer.structs import struct_of
from sameas_service.servicer.tokens import position_of, token_of

WATCH_CHANGES_MAX = 1_000
WATCH_PAUSE_SECONDS = 0.2
"""How late a follower hears of a change at most, but for the way."""

_BY = {"user_id": "user", "anonymous_id": "anonymous", "person_id": "person"}


class PersonServicer:
    """One method an RPC, by its name."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stopping = False

    def stop(self) -> None:
        """Ends the calls that follow changes, which would last until they are cut off."""
        self._stopping = True

    async def GetPerson(  # noqa: N802
        self, request: v1.GetPersonRequest, _: Context
    ) -> v1.GetPersonResponse:
        """See the protos."""
        as_of = as_of_of(request)
        (view,) = await self._store.persons([key_of(request.key, "key")], as_of)
        if view is None:
            raise not_found()
        response = v1.GetPersonResponse()
        fill_person(response.person, view, request.form)
        return response

    async def BatchGetPersons(  # noqa: N802
        self, request: v1.BatchGetPersonsRequest, _: Context
    ) -> v1.BatchGetPersonsResponse:
        """See the protos."""
        if len(request.keys) > PERSONS_MAX:
            raise Refused(
                Reason.BATCH_TOO_LARGE,
                f"more than {PERSONS_MAX} keys",
                field="keys",
                metadata={"max_keys": str(PERSONS_MAX)},
            )
        keys = [key_of(key, f"keys[{index}]") for index, key in enumerate(request.keys)]
        response = v1.BatchGetPersonsResponse()
        for view in await self._store.persons(keys, as_of_of(request)):
            result = response.results.add()
            if view is not None:
                fill_person(result.person, view, request.form)
        return response

    async def ListMessages(  # noqa: N802
        self, request: v1.ListMessagesRequest, _: Context
    ) -> v1.ListMessagesResponse:
        """See the protos."""
        key, only, as_of = key_of(request.key, "key"), filter_of(request), as_of_of(request)
        asked = (key, only, as_of)
        behind = position_of(request.page_token, asked) if request.page_token else None
        size = _page_size(request.page_size)
        page = await self._store.messages(key, only, behind, size, as_of)
        if page is None:
            raise not_found()
        return v1.ListMessagesResponse(
            messages=[message_of(message, request.form) for message in page.messages],
            next_page_token=token_of(page.next, asked) if page.next else "",
        )

    async def WatchChanges(  # noqa: N802
        self, request: v1.WatchChangesRequest, _: Context
    ) -> AsyncIterator[v1.WatchChangesResponse]:
        """See the protos."""
        cursor = cursor_of(request.cursor)
        while request.until_present or not self._stopping:
            found = await self._store.changes(cursor, WATCH_CHANGES_MAX)
            if found:
                yield v1.WatchChangesResponse(changes=[watched_of(one) for one in found])
                cursor = found[-1].cursor
            elif request.until_present:
                return
            else:
                await asyncio.sleep(WATCH_PAUSE_SECONDS)
        raise Refused(
            Reason.SERVER_STOPPING, "the server is stopping; go on behind the last cursor"
        )

    async def Explain(  # noqa: N802
        self, request: v1.ExplainRequest, _: Context
    ) -> v1.ExplainResponse:
        """See the protos."""
        first, second = key_of(request.first, "first"), key_of(request.second, "second")
        explanation = await self._store.explain(first, second, as_of_of(request))
        if explanation.not_found:
            raise not_found(explanation.not_found)
        return explanation_of(explanation)


def key_of(key: v1.PersonKey, field: str) -> PersonKey:
    """A key from the wire; an id that no message may carry is simply not found."""
    name = key.WhichOneof("key")
    value = getattr(key, name) if name else ""
    if not value:
        raise Refused(
            Reason.ID_REQUIRED,
            "one of user_id, anonymous_id and person_id is needed",
            field=field,
        )
    return PersonKey(_BY[name or ""], value)


def as_of_of(
    request: v1.GetPersonRequest
    | v1.BatchGetPersonsRequest
    | v1.ListMessagesRequest
    | v1.ExplainRequest,
) -> int | None:
    """The time as of which a call asks; None for now."""
    return microseconds(request.as_of, "as_of") if request.HasField("as_of") else None


def filter_of(request: v1.ListMessagesRequest) -> Filter:
    """Which messages a call asks for."""
    start, end = (
        microseconds(getattr(request, field), field) if request.HasField(field) else None
        for field in ("start_time", "end_time")
    )
    if start is not None and end is not None and end < start:
        raise Refused(Reason.TIME_RANGE_INVALID, "end_time is before start_time", field="end_time")
    known = {kind.value for kind in Kind}
    kinds = frozenset(Kind(kind) for kind in request.kinds if kind in known)
    if len(kinds) < len(set(request.kinds)):
        raise Refused(Reason.KIND_INVALID, "kinds has one that is not a kind", field="kinds")
    return Filter(kinds, frozenset(request.events), start, end)


def fill_person(wire: v1.Person, view: PersonView, form: int) -> None:
    """A person on the wire. Field by field: a constructor and its copy take twice as long."""
    wire.person_id = view.person_id
    if view.user_ids:
        wire.user_id = view.user_ids[0]
        wire.user_ids.extend(view.user_ids)
    wire.anonymous_ids.extend(view.anonymous_ids)
    wire.anonymous_ids_truncated = view.anonymous_ids_truncated
    put_time(wire.first_seen, view.first_seen)
    put_time(wire.last_seen, view.last_seen)
    if form == v1.PayloadForm.PAYLOAD_FORM_JSON:
        wire.traits_json = payload.canonical(view.traits)
    else:
        wire.traits.CopyFrom(struct_of(view.traits))


def not_found(field: str = "key") -> Refused:
    """No message made such a person."""
    return Refused(Reason.PERSON_NOT_FOUND, "no message named this id", field=field)


def _page_size(asked: int) -> int:
    if asked < 0:
        raise Refused(Reason.PAGE_SIZE_INVALID, "page_size is negative", field="page_size")
    return min(asked or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
