import asyncio
import json

import httpx
import pytest

from live import World, unique, url
from rollcall_client import AsyncRollcallClient, BadRequest, RollcallClient, Unauthenticated
from rollcall_client.graphql import (
    AccessCheckInput,
    AccessLevel,
    ExternalResourceRef,
    OrganizationBy,
    ResourceKind,
    ResourceRef,
    ResourceUpsertInput,
    UserRef,
)


def check(person: str, project: str, at_least: AccessLevel | None = None) -> AccessCheckInput:
    resource = ResourceRef(external=ExternalResourceRef(kind=ResourceKind.PROJECT, external_id=project))
    made = AccessCheckInput(user=UserRef(external_id=person), resource=resource)
    if at_least:
        made.at_least = at_least
    return made


class Deciding:
    """Allows what has the same name on both sides."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        checks = json.loads(request.content)["variables"]["checks"]
        self.sizes.append(len(checks))
        pairs = [(one["user"]["externalId"], one["resource"]["external"]["externalId"]) for one in checks]
        if any(person == "malformed" for person, _ in pairs):
            return httpx.Response(400, json={"errors": [{"message": "no", "extensions": {"code": "BAD_REQUEST"}}]})
        decisions = [
            {"allowed": person == project, "level": "VIEW" if person == project else "NONE", "revision": "1"}
            for person, project in pairs
        ]
        return httpx.Response(200, json={"data": {"checkAccess": decisions}})

    def async_client(self) -> AsyncRollcallClient:
        return AsyncRollcallClient(
            "https://rollcall.test", "k", http=httpx.AsyncClient(transport=httpx.MockTransport(self))
        )


PAIRS = [(str(n % 1_250), str(n % 1_250) if n % 1_250 < 7 else "x") for n in range(3_000)]


def test_many_checks_are_asked_each_once_and_answered_in_order() -> None:
    service = Deciding()
    client = RollcallClient("https://rollcall.test", "k", http=httpx.Client(transport=httpx.MockTransport(service)))
    decisions = client.check_access_many([check(*pair) for pair in PAIRS])
    assert [decision.allowed for decision in decisions] == [person == project for person, project in PAIRS]
    assert service.sizes == [1_000, 250]
    assert client.check_access(check("1", "1")).allowed
    assert client.check_access_many([]) == []


def test_checks_of_one_turn_are_asked_together() -> None:
    async def run() -> None:
        service = Deciding()
        async with service.async_client() as client:

            async def later() -> bool:
                await asyncio.sleep(0)
                return (await client.check_access(check("2", "2"))).allowed

            decisions = await asyncio.gather(*(client.check_access(check(*pair)) for pair in PAIRS))
            assert [decision.allowed for decision in decisions] == [person == project for person, project in PAIRS]
            assert service.sizes == [1_000, 250]
            # A check of a later turn is asked anew, and another level is another check.
            await asyncio.gather(
                client.check_access(check("1", "1")),
                client.check_access(check("1", "1", AccessLevel.VIEW)),
                client.check_access(check("1", "1", AccessLevel.CONTRIBUTE)),
            )
            assert service.sizes == [1_000, 250, 2]
            assert all(await asyncio.gather(later(), later()))
            assert service.sizes == [1_000, 250, 2, 1]

    asyncio.run(run())


def test_one_malformed_check_fails_alone() -> None:
    async def run() -> None:
        service = Deciding()
        async with service.async_client() as client:
            people = ["1", "2", "malformed", "4", "5"]
            answers = (client.check_access(check(person, person)) for person in people)
            decisions = await asyncio.gather(*answers, return_exceptions=True)
        assert [isinstance(decision, BadRequest) for decision in decisions] == [False, False, True, False, False]
        assert sorted(service.sizes) == [1, 2, 2, 3, 5]

    asyncio.run(run())


def test_a_failure_is_everybodys_and_a_cancelled_check_is_nobody_elses() -> None:
    async def run() -> None:
        refusal = httpx.Response(401, json={"errors": [{"message": "no", "extensions": {"code": "UNAUTHENTICATED"}}]})
        http = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: refusal))
        async with AsyncRollcallClient("https://rollcall.test", "k", http=http) as client:
            answers = (client.check_access(check(person, person)) for person in ("1", "2"))
            decisions = await asyncio.gather(*answers, return_exceptions=True)
        assert all(isinstance(decision, Unauthenticated) for decision in decisions)

        async with Deciding().async_client() as client:
            first = asyncio.ensure_future(client.check_access(check("1", "1")))
            second = asyncio.ensure_future(client.check_access(check("1", "1")))
            await asyncio.sleep(0)
            first.cancel()
            assert (await second).allowed
            with pytest.raises(asyncio.CancelledError):
                await first

    asyncio.run(run())


def test_the_service_answers_as_many_checks_as_one_request_may_have_and_says_why() -> None:
    world = World(2)
    owner, member = world.people
    project = unique("project")
    kept = ResourceUpsertInput(
        kind=ResourceKind.PROJECT, external_id=project, name="Atlas", owner=UserRef(external_id=owner)
    )
    list(world.client.upsert_resources(OrganizationBy(id=world.organization), [kept]))
    pairs = [(owner, project) if n % 500 == 0 else ((owner, member)[n % 2], f"{project}-{n}") for n in range(1_500)]
    checks = [check(*pair) for pair in pairs]
    expected = [name == project for _, name in pairs]
    assert [decision.allowed for decision in world.client.check_access_many(checks)] == expected

    async def run() -> None:
        async with AsyncRollcallClient(url(), world.key) as client:
            assert [decision.allowed for decision in await client.check_access_many(checks)] == expected
            explained = await client.explain_access(check(owner, project, AccessLevel.ADMINISTER))
            assert explained.allowed
            assert "OWNER" in [reason.kind for reason in explained.reasons]

    asyncio.run(run())
