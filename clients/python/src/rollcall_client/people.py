"""Whom an event concerns."""

from __future__ import annotations

from ._json import JsonObject


def people_of(metadata: JsonObject) -> list[str]:
    """The ids of the people whom an event concerns, by its `metadata`.

    They are its `userIds`, which are several where a platform changed several at once, else its `subject`. Empty if it
    concerns nobody in particular.
    """
    named = metadata.get("userIds")
    people = named if isinstance(named, list) else [metadata.get("subject")]
    return [person for person in people if isinstance(person, str)]
