"""The model's answer in the form of a store's dump."""

from typing import Any

from sameas_service.domain.derive import Rules, derive
from sameas_service.domain.message import Message


def expected_dump(messages: list[Message], rules: Rules) -> dict[str, Any]:
    """What a store must dump that holds these messages."""
    world = derive(messages, rules)
    return {
        "people": {
            person_id: {
                "users": person.users,
                "spans": sorted([s.device, *s.start, s.owner] for s in person.spans),
                "messages": [m.message_id for m in person.messages],
                "traits": person.traits,
            }
            for person_id, person in world.people.items()
        },
        "user_ids": world.user_ids,
        "anonymous_ids": world.anonymous_ids,
    }
