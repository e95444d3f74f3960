"""The commands `person` and `timeline`."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Literal, NamedTuple

import grpc
import orjson
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sameas import v1
from sameas_service.cli.connection import READ_TIMEOUT_SECONDS, stop
from sameas_service.cli.terminal import complain, output, safe
from sameas_service.cli.times import text_of
from sameas_service.cli.writing import kind_word, message_fields, person_fields, traits_of

PAGE_SIZE_MAX = 1_000
EXIT_FAILED = 1


class By(StrEnum):
    """What kind of id names the person."""

    USER = "user"
    ANONYMOUS = "anonymous"
    PERSON = "person"


class Kind(StrEnum):
    """The kinds of messages, as the import format calls them."""

    TRACK = "track"
    IDENTIFY = "identify"
    ALIAS = "alias"
    PAGE = "page"
    SCREEN = "screen"
    GROUP = "group"
    RESET = "reset"
    PROFILE = "profile"
    MERGE = "merge"
    UNLINK = "unlink"


class Found(NamedTuple):
    """A person, and the id that led there."""

    person: v1.Person
    key: v1.PersonKey
    by: By


def show_person(channel: grpc.Channel, identifier: str, by: By | None, *, as_json: bool) -> None:
    """Print the person that an id belongs to."""
    found = find(channel, identifier, by)
    if as_json:
        print_json(person_fields(found.person), indent=True)
    else:
        output().print(_panel(found))


def show_timeline(
    channel: grpc.Channel,
    identifier: str,
    by: By | None,
    request: v1.ListMessagesRequest,
    limit: int,
    *,
    as_json: bool,
) -> None:
    """Print the person's messages that the request asks for, in event order, one a line."""
    request.key.CopyFrom(find(channel, identifier, by).key)
    request.form = v1.PayloadForm.PAYLOAD_FORM_JSON
    console = output()
    for shown, message in enumerate(_messages(channel, request, limit + 1)):
        if shown == limit:
            complain(f"there are more than {limit:,} messages; --limit shows more of them")
            return
        if as_json:
            print_json(message_fields(message))
        elif console.is_terminal:
            console.print(_row(message), no_wrap=True, overflow="ellipsis")
        else:
            console.print(_row(message), soft_wrap=True)


def find(channel: grpc.Channel, identifier: str, by: By | None) -> Found:
    """Return the person that an id belongs to.

    It is taken as a user id, else as an anonymous id, else as a person id; or only as what
    `by` says. The command ends where no person is known by it.
    """
    stub = v1.PersonServiceStub(channel)
    for each in [by] if by is not None else list(By):
        key = _key(identifier, each)
        person = _get(stub, key, must_be_valid=by is not None or each is By.USER)
        if person is not None:
            return Found(person, key, each)
    as_what = f"{by} id" if by is not None else "user id, anonymous id or person id"
    return stop(f"nobody is known by {identifier} as {as_what}", code=EXIT_FAILED)


def _key(identifier: str, by: By) -> v1.PersonKey:
    if by is By.USER:
        return v1.PersonKey(user_id=identifier)
    if by is By.ANONYMOUS:
        return v1.PersonKey(anonymous_id=identifier)
    return v1.PersonKey(person_id=identifier)


def _get(stub: v1.PersonServiceStub, key: v1.PersonKey, *, must_be_valid: bool) -> v1.Person | None:
    """Return the person, or None.

    An id that is merely tried may also be refused, as a person id that is no UUID.
    """
    request = v1.GetPersonRequest(key=key, form=v1.PayloadForm.PAYLOAD_FORM_JSON)
    try:
        return stub.GetPerson(request, timeout=READ_TIMEOUT_SECONDS).person
    except grpc.RpcError as error:
        code = error.code() if isinstance(error, grpc.Call) else None
        if code is grpc.StatusCode.NOT_FOUND:
            return None
        if code is grpc.StatusCode.INVALID_ARGUMENT and not must_be_valid:
            return None
        raise


def _messages(
    channel: grpc.Channel, request: v1.ListMessagesRequest, limit: int
) -> Iterator[v1.Message]:
    """Yield at most so many messages, over as many pages as that takes."""
    stub = v1.PersonServiceStub(channel)
    while limit > 0:
        request.page_size = min(limit, PAGE_SIZE_MAX)
        page = stub.ListMessages(request, timeout=READ_TIMEOUT_SECONDS)
        yield from page.messages[:limit]
        limit -= len(page.messages)
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


# ---- How it looks -------------------------------------------------------------------------


def _panel(found: Found) -> Panel:
    person = found.person
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("person id", Text(safe(person.person_id)))
    table.add_row("user ids", _list(list(person.user_ids)))
    anonymous_ids = list(person.anonymous_ids)
    if person.anonymous_ids_truncated:
        anonymous_ids.append("... and more")
    table.add_row("anonymous ids", _list(anonymous_ids))
    table.add_row("first seen", _seen(person, "first_seen"))
    table.add_row("last seen", _seen(person, "last_seen"))
    table.add_row("traits", _traits(person))
    title = Text(f"found by {found.by} id")
    return Panel(table, title=title, title_align="left", expand=False)


def _seen(person: v1.Person, which: Literal["first_seen", "last_seen"]) -> Text:
    return Text(text_of(getattr(person, which)) if person.HasField(which) else "none")


def _list(values: list[str]) -> Text:
    return Text("\n".join(safe(value) for value in values) or "none")


def _traits(person: v1.Person) -> Table | Text:
    traits = traits_of(person)
    if not traits:
        return Text("none")
    table = Table.grid(padding=(0, 2))
    for name, value in sorted(traits.items()):
        table.add_row(Text(safe(name), style="cyan"), Text(_compact(value)))
    return table


def _row(message: v1.Message) -> Text:
    """Return a message in one line: time, kind, event, ids and payload."""
    row = Text()
    row.append(f"{text_of(message.timestamp):<27} ", style="dim")
    row.append(f"{kind_word(message.kind):<8} ", style="bold")
    if message.event:
        row.append(f"{safe(message.event)} ", style="green")
    for name, value in _ids(message):
        row.append(f"{name}=", style="dim")
        row.append(f"{safe(value)} ", style="cyan")
    payload = message.operations_json or message.properties_json
    if payload not in ("", "{}"):
        row.append(safe(payload))
    row.rstrip()
    return row


def _ids(message: v1.Message) -> list[tuple[str, str]]:
    named = [
        ("userId", message.user_id),
        ("anonymousId", message.anonymous_id),
        ("previousId", message.previous_anonymous_id),
        ("previousUserId", message.previous_user_id),
    ]
    return [(name, value) for name, value in named if value]


def _compact(value: object) -> str:
    """Return JSON in one line; a text without its quotes, since that is how people read it."""
    return safe(value if isinstance(value, str) else orjson.dumps(value).decode())


def print_json(value: object, *, indent: bool = False) -> None:
    """Print JSON, in one line or indented."""
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else None).decode()
    # Line ends are the layout's; within texts, JSON has them escaped.
    for line in text.split("\n"):
        print(safe(line))  # noqa: T201 - the result of the command
