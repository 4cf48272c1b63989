"""The feed: pages of events, and where a reader keeps its cursor."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ._transport import backoff
from .errors import RequestError, TransportError
from .graphql.events import EventsEvents
from .graphql.fragments import EventFields


class FeedEvent(EventFields):
    """An event of the feed with its cursor, after which the feed goes on."""

    cursor: str


@dataclass(frozen=True)
class EventPage:
    """A page of the feed; never an empty one."""

    events: list[FeedEvent]
    cursor: str
    """The last event's cursor: keep it together with what you did with these events."""


class CursorStore(Protocol):
    """Where a reader keeps the cursor of the last event that it has dealt with."""

    def load(self) -> str | None:
        """The cursor that was saved last; None before the first one."""
        ...

    def save(self, cursor: str) -> None:
        """Keeps the cursor; it must be safe once this returns."""
        ...


class FileCursor:
    """Keeps a feed's cursor in a file, which is whole at every moment, also after a crash."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def load(self) -> str | None:
        try:
            return self.path.read_text().strip() or None
        except FileNotFoundError:
            return None

    def save(self, cursor: str) -> None:
        beside = self.path.with_name(f"{self.path.name}.new")
        with beside.open("w") as file:
            file.write(f"{cursor}\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class Reader:
    """How a feed is read, without the reading: what to ask for next, and how long to pause."""

    def __init__(
        self,
        after: str | None,
        actions: list[str] | None,
        organization_id: str | None,
        page_size: int,
        longest_pause: float,
    ) -> None:
        self.after = after
        self.actions = actions
        self.organization_id = organization_id
        self.page_size = page_size
        self.has_more = True
        self._longest_pause = longest_pause
        self._idle = 0

    def take(self, read: EventsEvents) -> EventPage | None:
        """The page; the next one is read after it."""
        self.has_more = read.page_info.has_next_page
        if not read.edges:
            return None
        self._idle = 0
        self.after = read.edges[-1].cursor
        events = [FeedEvent.model_construct(cursor=edge.cursor, **dict(edge.node)) for edge in read.edges]
        return EventPage(events, self.after)

    def pause(self) -> float:
        """How long to wait, in seconds, before asking again."""
        self._idle += 1
        return backoff(self._idle - 1, self._longest_pause)

    def pause_after(self, error: RequestError | TransportError) -> float:
        """Likewise after a failure; raises the error if it won't pass."""
        if isinstance(error, RequestError):
            if error.status not in (429, 502, 503, 504):
                raise error
            return max(self.pause(), error.retry_after or 0)
        return self.pause()
