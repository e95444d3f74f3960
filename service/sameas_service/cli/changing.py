"""The commands that join and part ids, say beforehand what that does, and follow changes."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import grpc
import orjson
import typer
from google.protobuf import json_format

from sameas import v1
from sameas.ids import new_message_id
from sameas_service.cli.connection import READ_TIMEOUT_SECONDS
from sameas_service.cli.terminal import safe, say


class Call(StrEnum):
    """The calls that have a preview."""

    IDENTIFY = "Identify"
    ALIAS = "Alias"
    TRACK = "Track"
    RESET = "Reset"
    UPDATE_PROFILE = "UpdateProfile"
    MERGE = "Merge"
    UNLINK = "Unlink"


def merge(channel: grpc.Channel, request: v1.MergeRequest) -> None:
    """Merge two users, or with `validate_only` say what it would do."""
    request.message_id = new_message_id()
    answer = v1.IdentityServiceStub(channel).Merge(request, timeout=READ_TIMEOUT_SECONDS)
    show(answer.receipt, answer.preview)


def unlink(channel: grpc.Channel, request: v1.UnlinkRequest) -> None:
    """Unlink a pair, or with `validate_only` say what it would do."""
    request.message_id = new_message_id()
    answer = v1.IdentityServiceStub(channel).Unlink(request, timeout=READ_TIMEOUT_SECONDS)
    show(answer.receipt, answer.preview)
    if answer.chain:
        say("still one person, or joined otherwise, by:")
    for step in answer.chain:
        say(f"  {safe(step.sentence)}")


def preview(channel: grpc.Channel, call: str, body: str) -> None:
    """Say what a call would do; its request is JSON, as grpcurl takes it."""
    request: Any = getattr(v1, f"{call}Request")()
    try:
        json_format.Parse(body, request)
    except json_format.ParseError as error:
        raise typer.BadParameter(str(error)) from error
    request.validate_only = True
    method = getattr(v1.IdentityServiceStub(channel), call)
    answer = method(request, timeout=READ_TIMEOUT_SECONDS)
    show(answer.receipt, answer.preview)


def watch(channel: grpc.Channel, cursor: str, *, follow: bool) -> None:
    """Print changes after a cursor as JSON lines, and with `follow` go on for ever."""
    request = v1.WatchChangesRequest(cursor=cursor, until_present=not follow)
    for response in v1.PersonServiceStub(channel).WatchChanges(request):
        for watched in response.changes:
            say(orjson.dumps(_watched(watched)).decode())


def show(receipt: v1.Receipt, told: v1.Preview) -> None:
    """Print what a call did, or would do."""
    outcome = v1.Outcome.Name(receipt.outcome).removeprefix("OUTCOME_").lower()
    say(f"{outcome}: person {receipt.person_id}")
    for line in [*_changes(told.changes), *_moved(told.moved), *_traits(told.traits)]:
        say(f"  {safe(line)}")
    for warning in receipt.warnings:
        say(f"  warning: {safe(warning.message)}")


def _changes(changes: Iterable[v1.IdentityChange]) -> list[str]:
    return [
        f"{_kind(one)}: {'user' if one.user_id else 'device'} {one.user_id or one.anonymous_id}"
        f" is {one.person_id or 'nobody'} (was {one.former_person_id or 'nobody'})"
        for one in changes
    ]


def _moved(moved: Iterable[v1.MovedMessages]) -> list[str]:
    return [
        f"{one.messages} messages go from {one.former_person_id or 'nobody'}"
        f" to {one.person_id or 'nobody'}"
        for one in moved
    ]


def _traits(traits: Iterable[v1.TraitChange]) -> list[str]:
    return [
        f"trait {one.trait} of {one.person_id}: "
        f"{_value(one, 'former_value')} becomes {_value(one, 'value')}"
        for one in traits
    ]


def _value(trait: v1.TraitChange, field: Any) -> str:
    if not trait.HasField(field):
        return "nothing"
    return json_format.MessageToJson(getattr(trait, field), indent=None)


def _kind(change: v1.IdentityChange) -> str:
    return v1.ChangeKind.Name(change.kind).removeprefix("CHANGE_KIND_").lower()


def _watched(watched: v1.WatchedChange) -> dict[str, str]:
    change = watched.change
    key = "userId" if change.user_id else "anonymousId"
    return {
        "cursor": watched.cursor,
        "kind": _kind(change),
        key: change.user_id or change.anonymous_id,
        "personId": change.person_id,
        "formerPersonId": change.former_person_id,
        "messageId": watched.message_id,
    }
