import asyncio
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from live import World, platform_key, until, url
from rollcall_client import (
    AsyncRollcallClient,
    BadRequest,
    FeedEvent,
    FileCursor,
    Forbidden,
    RollcallClient,
    or_raise,
    people_of,
)
from rollcall_client.graphql import RemoveMemberInput


class Kept:
    """Keeps the cursor in memory."""

    def __init__(self) -> None:
        self.cursor: str | None = None

    def load(self) -> str | None:
        return self.cursor

    def save(self, cursor: str) -> None:
        self.cursor = cursor


def settled(world: World, count: int) -> list[FeedEvent]:
    """The organization's events as they are now, and none of them held back."""

    def look() -> list[FeedEvent] | None:
        pages = world.client.event_pages(None, organization_id=world.organization, until_caught_up=True)
        events = [event for page in pages for event in page.events]
        return events if len(events) >= count else None

    return until("every event", look)


def test_pages_hold_every_event_once_in_order_after_any_cursor_and_by_action() -> None:
    world = World(4)
    # Founded, and three times invited and joined.
    assert [event.sequence for event in settled(world, 7)] == list(range(1, 8))
    there = world.organization
    pages = list(world.client.event_pages(None, organization_id=there, page_size=2, until_caught_up=True))
    assert [len(page.events) for page in pages] == [2, 2, 2, 1]
    rest = list(world.client.event_pages(pages[1].cursor, organization_id=there, until_caught_up=True))
    assert [event.sequence for page in rest for event in page.events] == [5, 6, 7]
    joined = world.client.event_pages(
        None, organization_id=there, actions=["organization.member_joined"], until_caught_up=True
    )
    assert [event.subject and event.subject.id for page in joined for event in page.events] == world.users[1:]


def test_a_cursor_is_saved_once_its_event_is_done_and_not_when_the_loop_is_left() -> None:
    world = World(3)
    settled(world, 5)
    store, seen = Kept(), list[int]()
    for event in world.client.follow(store, organization_id=world.organization, until_caught_up=True):
        seen.append(event.sequence)
        if len(seen) == 2:
            break

    def failing() -> None:
        for event in world.client.follow(store, organization_id=world.organization, until_caught_up=True):
            seen.append(event.sequence)
            if event.sequence == 4:
                raise ValueError("the handler fails")

    with pytest.raises(ValueError, match="the handler fails"):
        failing()
    seen += [e.sequence for e in world.client.follow(store, organization_id=world.organization, until_caught_up=True)]
    assert seen == [1, 2, 2, 3, 4, 4, 5]


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_reader_that_is_killed_goes_on_without_loss(mode: str, tmp_path: Path) -> None:
    world = World(6)
    events = settled(world, 11)
    cursor, notes = tmp_path / "cursor", tmp_path / "notes"
    program = Path(__file__).with_name("crashing_reader.py")

    def read(last: int) -> int:
        arguments = [mode, url(), world.key, world.organization, str(cursor), str(notes), str(last)]
        return subprocess.run([sys.executable, program, *arguments], check=False, timeout=120).returncode

    assert FileCursor(cursor).load() is None
    assert read(3) == -signal.SIGKILL
    assert FileCursor(cursor).load() == events[1].cursor
    assert read(5) == -signal.SIGKILL
    assert read(0) == 0
    # What was done and not yet saved comes again; nothing is left out.
    done = [int(line) for line in notes.read_text().split()]
    assert done == [1, 2, 3, 3, 4, 5, 6, 7, 7, 8, 9, 10, 11]


class Unreliable(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Lets every third request through."""

    def __init__(self) -> None:
        self.calls = 0
        self.inner, self.async_inner = httpx.HTTPTransport(), httpx.AsyncHTTPTransport()

    def fail(self) -> None:
        self.calls += 1
        if self.calls % 3:
            raise httpx.ConnectError("no connection")

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.fail()
        return self.inner.handle_request(request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.fail()
        return await self.async_inner.handle_async_request(request)


def remove_second(world: World) -> None:
    _, member = world.members()[world.users[1]]
    or_raise(world.client.graphql.remove_member(RemoveMemberInput(member_id=member)))


def test_it_goes_on_through_failures_and_hears_of_what_happens_later() -> None:
    world = World(2)
    settled(world, 3)
    transport, stop, seen = Unreliable(), threading.Event(), list[str]()
    with RollcallClient(url(), world.key, http=httpx.Client(transport=transport), retries=0) as client:
        for event in client.follow(Kept(), stop=stop, organization_id=world.organization, longest_pause=0.05):
            seen.append(event.action)
            if len(seen) == 3:
                remove_second(world)
            if event.action == "organization.member_removed":
                stop.set()
    assert transport.calls >= 6
    assert seen[-1] == "organization.member_removed"


def test_asyncio_goes_on_likewise_until_it_is_cancelled() -> None:
    world = World(2)
    settled(world, 3)
    seen: list[str] = []
    three, removed = asyncio.Event(), asyncio.Event()

    async def follow() -> None:
        http = httpx.AsyncClient(transport=Unreliable())
        async with AsyncRollcallClient(url(), world.key, http=http, retries=0) as client:
            async for event in client.follow(Kept(), organization_id=world.organization, longest_pause=0.05):
                seen.append(event.action)
                if len(seen) == 3:
                    three.set()
                if event.action == "organization.member_removed":
                    removed.set()

    async def run() -> None:
        following = asyncio.create_task(follow())
        await three.wait()
        await asyncio.to_thread(remove_second, world)
        await removed.wait()
        following.cancel()
        with pytest.raises(asyncio.CancelledError):
            await following

    asyncio.run(asyncio.wait_for(run(), 60))


def test_what_is_refused_is_raised() -> None:
    with RollcallClient(url(), platform_key("READ")) as blind, pytest.raises(Forbidden, match="EVENTS_READ"):
        list(blind.event_pages(None))
    with RollcallClient(url(), platform_key("EVENTS_READ")) as client, pytest.raises(BadRequest):
        list(client.event_pages("nonsense"))


def test_an_event_concerns_one_person_several_or_nobody_in_particular() -> None:
    assert people_of({"subject": "usr_1", "role": "member"}) == ["usr_1"]
    assert people_of({"subject": "usr_1", "userIds": ["usr_1"]}) == ["usr_1"]
    assert people_of({"userIds": ["usr_1", None, "usr_2"]}) == ["usr_1", "usr_2"]
    assert people_of({"subject": None}) == []
    assert people_of({}) == []
