"""The clients, for threads and for asyncio."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeAlias, TypedDict, Unpack

import httpx

from ._transport import TIMEOUT, AsyncTransport, RequestOptions, Settings, Transport, endpoint
from .access import AccessBatcher, AccessDecision, identity, parts
from .errors import RequestError, TransportError
from .feed import CursorStore, EventPage, FeedEvent, Reader
from .graphql.async_operations import AsyncOperations
from .graphql.explain_access import ExplainAccessCheckAccess
from .graphql.fragments import (
    MemberUpsertFields,
    OrganizationUpsertFields,
    ResourceUpsertFields,
    TeamUpsertFields,
    UserUpsertFields,
)
from .graphql.input_types import (
    AccessCheckInput,
    MemberUpsertInput,
    OrganizationBy,
    OrganizationUpsertInput,
    ResourceUpsertInput,
    TeamUpsertInput,
    UpsertMembersInput,
    UpsertOrganizationsInput,
    UpsertResourcesInput,
    UpsertTeamsInput,
    UpsertUsersInput,
    UserUpsertInput,
)
from .graphql.operations import Operations
from .upserts import Item, UpsertBatch, async_batches, batches

Items: TypeAlias = Iterable[Item] | AsyncIterable[Item]
ExplainedAccess = ExplainAccessCheckAccess
"""What somebody may do with a resource, and why."""


class FeedOptions(TypedDict, total=False):
    """Which events to read, and how."""

    actions: list[str]
    """Only these actions, such as `organization.member_joined`."""
    organization_id: str
    """Only one organization's events."""
    page_size: int
    """How many events to read at a time, at most 1,000, which is the default."""
    longest_pause: float
    """The longest pause, in seconds, while nothing happens or the service can't be reached; 2 if omitted."""
    until_caught_up: bool
    """Whether to end at the last event that there is, rather than to wait for more."""


def reader(after: str | None, options: FeedOptions) -> Reader:
    return Reader(
        after,
        options.get("actions"),
        options.get("organization_id"),
        options.get("page_size", 1_000),
        options.get("longest_pause", 2.0),
    )


class RollcallClient:
    """A client of Rollcall for threads, which may share it.

    `url` says where the service is, such as `https://rollcall.example.org`, without `/graphql`. `key` is a platform key
    (`rcp_…`) or another bearer token, or what returns it, for keys that are rotated while the program runs.
    `on_behalf_of` says for whom to act (`usr_…`, or `external:` and the platform's own id); the key needs the scope
    ACT_FOR_USERS.

    A request is sent again up to `retries` times, but given up if the service asks for a longer wait than
    `longest_wait` seconds. `http` replaces the connection.
    """

    def __init__(
        self,
        url: str,
        key: str | Callable[[], str],
        *,
        on_behalf_of: str | None = None,
        retries: int = 4,
        longest_wait: float = 30,
        http: httpx.Client | None = None,
    ) -> None:
        settings = Settings(endpoint(url), key, on_behalf_of, retries, longest_wait)
        self._transport = Transport(settings, http or httpx.Client(timeout=TIMEOUT))
        self.graphql = Operations(self._transport)
        """The documents of this package, a method for each. A mutation's `user_errors` are data; see `or_raise`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._transport.http.close()

    def execute(self, query: str, variables: dict[str, object] | None = None, **options: Unpack[RequestOptions]) -> Any:
        """Sends a document of your own, and returns its data as it travels.

        What was refused for a while (RATE_LIMITED, UNAVAILABLE) is sent again after the time that the service asks for.
        What got no answer is sent again if it is a query, `repeatable`, or has an `idempotency_key`.

        Raises `RequestError` and `TransportError`.
        """
        return self._transport.request(query, variables or {}, options)

    def check_access(self, check: AccessCheckInput) -> AccessDecision:
        """What somebody may do with a resource."""
        return self.check_access_many([check])[0]

    def check_access_many(self, checks: Sequence[AccessCheckInput]) -> list[AccessDecision]:
        """Many checks, answered in order; at most 1,000 in a request, and the same one once."""
        decisions: dict[str, AccessDecision] = {}
        for part in parts(checks):
            answers = self.graphql.check_access(list(part.values()))
            decisions.update(zip(part, answers, strict=True))
        return [decisions[identity(check)] for check in checks]

    def explain_access(self, check: AccessCheckInput) -> ExplainedAccess:
        """What somebody may do with a resource, with the reasons and with what limits them."""
        return self.graphql.explain_access(check)[0]

    def event_pages(
        self, after: str | None, *, stop: threading.Event | None = None, **options: Unpack[FeedOptions]
    ) -> Iterator[EventPage]:
        """Reads the feed after a cursor, or from its beginning, page by page, and waits for more until `stop` is set.

        Keep a page's `cursor` together with what you did with its events, in one transaction where you can. While the
        service can't be reached, this tries again for good; what was refused is raised.
        """
        feed = reader(after, options)
        pause = stop.wait if stop else time.sleep
        while not (stop and stop.is_set()):
            try:
                read = self.graphql.events(feed.after, feed.page_size, feed.actions, feed.organization_id)
            except (RequestError, TransportError) as error:
                pause(feed.pause_after(error))
                continue
            page = feed.take(read)
            if page:
                yield page
            if not feed.has_more:
                if options.get("until_caught_up"):
                    return
                pause(feed.pause())

    def follow(
        self, store: CursorStore, *, stop: threading.Event | None = None, **options: Unpack[FeedOptions]
    ) -> Iterator[FeedEvent]:
        """Reads the feed event by event, after the cursor in `store`.

        An event's cursor is saved when the loop's body is done with it and asks for the next one. After a crash, or
        when the loop is left by `break` or an exception, the event that it was at comes again.
        """
        for page in self.event_pages(store.load(), stop=stop, **options):
            for event in page.events:
                yield event
                store.save(event.cursor)
                if stop and stop.is_set():
                    return

    def upsert_users(self, users: Iterable[UserUpsertInput]) -> Iterator[UpsertBatch[UserUpsertFields]]:
        """Brings in any number of accounts, 500 in a request. Each batch is all or none.

        Raises `UpsertError`, whose errors name the place among all items.
        """
        for batch in batches(users, 500):
            yield batch.outcome(self.graphql.upsert_users(UpsertUsersInput(users=batch.items), repeatable=True))

    def upsert_organizations(
        self, organizations: Iterable[OrganizationUpsertInput]
    ) -> Iterator[UpsertBatch[OrganizationUpsertFields]]:
        """Brings in any number of organizations, 100 in a request. Each batch is all or none.

        Raises `UpsertError`, whose errors name the place among all items.
        """
        for batch in batches(organizations, 100):
            input = UpsertOrganizationsInput(organizations=batch.items)
            yield batch.outcome(self.graphql.upsert_organizations(input, repeatable=True))

    def upsert_members(
        self, organization: OrganizationBy, members: Iterable[MemberUpsertInput], *, notify: bool = False
    ) -> Iterator[UpsertBatch[MemberUpsertFields]]:
        """Makes any number of people active members of an organization, 500 in a request. Each batch is all or none.

        With `notify`, those who become members by this are sent an email that says so.

        Raises `UpsertError`, whose errors name the place among all items.
        """
        for batch in batches(members, 500):
            input = UpsertMembersInput(organization=organization, members=batch.items, notify=notify)
            yield batch.outcome(self.graphql.upsert_members(input, repeatable=True))

    def upsert_teams(
        self, organization: OrganizationBy, teams: Iterable[TeamUpsertInput]
    ) -> Iterator[UpsertBatch[TeamUpsertFields]]:
        """Brings in any number of an organization's teams, up to 100 in a request. Each batch is all or none.

        Raises `UpsertError`, whose errors name the place among all items.
        """
        for batch in batches(teams, 100):
            input = UpsertTeamsInput(organization=organization, teams=batch.items)
            yield batch.outcome(self.graphql.upsert_teams(input, repeatable=True))

    def upsert_resources(
        self, organization: OrganizationBy, resources: Iterable[ResourceUpsertInput]
    ) -> Iterator[UpsertBatch[ResourceUpsertFields]]:
        """Brings in any number of an organization's resources, up to 1,000 in a request. Each batch is all or none.

        A container must be in the same batch as its contents, or in an earlier one: list containers first.

        Raises `UpsertError`, whose errors name the place among all items.
        """
        for batch in batches(resources, 1_000):
            input = UpsertResourcesInput(organization=organization, resources=batch.items)
            yield batch.outcome(self.graphql.upsert_resources(input, repeatable=True))


class AsyncRollcallClient:
    """Like `RollcallClient`, for asyncio. The upserts take asynchronous iterators as well."""

    def __init__(
        self,
        url: str,
        key: str | Callable[[], str],
        *,
        on_behalf_of: str | None = None,
        retries: int = 4,
        longest_wait: float = 30,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        settings = Settings(endpoint(url), key, on_behalf_of, retries, longest_wait)
        self._transport = AsyncTransport(settings, http or httpx.AsyncClient(timeout=TIMEOUT))
        self.graphql = AsyncOperations(self._transport)
        """The documents of this package, a method for each. A mutation's `user_errors` are data; see `or_raise`."""
        self._checks = AccessBatcher(self.graphql.check_access)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._transport.http.aclose()

    async def execute(
        self, query: str, variables: dict[str, object] | None = None, **options: Unpack[RequestOptions]
    ) -> Any:
        """See `RollcallClient.execute`."""
        return await self._transport.request(query, variables or {}, options)

    async def check_access(self, check: AccessCheckInput) -> AccessDecision:
        """What somebody may do with a resource.

        The checks of one turn of the event loop are asked together, at most 1,000 in a request, and the same one once.
        """
        return await self._checks.check(check)

    async def check_access_many(self, checks: Iterable[AccessCheckInput]) -> list[AccessDecision]:
        """Many checks, answered in order."""
        return list(await asyncio.gather(*map(self._checks.check, checks)))

    async def explain_access(self, check: AccessCheckInput) -> ExplainedAccess:
        """What somebody may do with a resource, with the reasons and with what limits them. Not batched."""
        return (await self.graphql.explain_access(check))[0]

    async def event_pages(self, after: str | None, **options: Unpack[FeedOptions]) -> AsyncIterator[EventPage]:
        """See `RollcallClient.event_pages`; it ends with its task."""
        feed = reader(after, options)
        while True:
            try:
                read = await self.graphql.events(feed.after, feed.page_size, feed.actions, feed.organization_id)
            except (RequestError, TransportError) as error:
                await asyncio.sleep(feed.pause_after(error))
                continue
            page = feed.take(read)
            if page:
                yield page
            if not feed.has_more:
                if options.get("until_caught_up"):
                    return
                await asyncio.sleep(feed.pause())

    async def follow(self, store: CursorStore, **options: Unpack[FeedOptions]) -> AsyncIterator[FeedEvent]:
        """See `RollcallClient.follow`. `store` is called in a thread, so that it may block."""
        async for page in self.event_pages(await asyncio.to_thread(store.load), **options):
            for event in page.events:
                yield event
                await asyncio.to_thread(store.save, event.cursor)

    async def upsert_users(self, users: Items[UserUpsertInput]) -> AsyncIterator[UpsertBatch[UserUpsertFields]]:
        """See `RollcallClient.upsert_users`."""
        async for batch in async_batches(users, 500):
            input = UpsertUsersInput(users=batch.items)
            yield batch.outcome(await self.graphql.upsert_users(input, repeatable=True))

    async def upsert_organizations(
        self, organizations: Items[OrganizationUpsertInput]
    ) -> AsyncIterator[UpsertBatch[OrganizationUpsertFields]]:
        """See `RollcallClient.upsert_organizations`."""
        async for batch in async_batches(organizations, 100):
            input = UpsertOrganizationsInput(organizations=batch.items)
            yield batch.outcome(await self.graphql.upsert_organizations(input, repeatable=True))

    async def upsert_members(
        self, organization: OrganizationBy, members: Items[MemberUpsertInput], *, notify: bool = False
    ) -> AsyncIterator[UpsertBatch[MemberUpsertFields]]:
        """See `RollcallClient.upsert_members`."""
        async for batch in async_batches(members, 500):
            input = UpsertMembersInput(organization=organization, members=batch.items, notify=notify)
            yield batch.outcome(await self.graphql.upsert_members(input, repeatable=True))

    async def upsert_teams(
        self, organization: OrganizationBy, teams: Items[TeamUpsertInput]
    ) -> AsyncIterator[UpsertBatch[TeamUpsertFields]]:
        """See `RollcallClient.upsert_teams`."""
        async for batch in async_batches(teams, 100):
            input = UpsertTeamsInput(organization=organization, teams=batch.items)
            yield batch.outcome(await self.graphql.upsert_teams(input, repeatable=True))

    async def upsert_resources(
        self, organization: OrganizationBy, resources: Items[ResourceUpsertInput]
    ) -> AsyncIterator[UpsertBatch[ResourceUpsertFields]]:
        """See `RollcallClient.upsert_resources`."""
        async for batch in async_batches(resources, 1_000):
            input = UpsertResourcesInput(organization=organization, resources=batch.items)
            yield batch.outcome(await self.graphql.upsert_resources(input, repeatable=True))
