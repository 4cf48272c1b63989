import asyncio
from collections.abc import AsyncIterator
from typing import Unpack

import pytest

from live import ALL, World, platform_key, unique, url
from rollcall_client import AsyncRollcallClient, RequestOptions, RollcallClient, UpsertError, UserErrors, or_raise
from rollcall_client.graphql import (
    CreateOrganizationInput,
    DeleteResourcesInput,
    ExternalResourceRef,
    MemberUpsertInput,
    OrganizationBy,
    OrganizationUpsertInput,
    ResourceKind,
    ResourceRef,
    ResourceUpsertInput,
    Role,
    TeamUpsertInput,
    TransferResourcesInput,
    UpsertOutcome,
    UserErrorCode,
    UserRef,
    UserUpsertInput,
)


def accounts(prefix: str, count: int) -> list[UserUpsertInput]:
    names = (f"{prefix}-{number}" for number in range(count))
    return [UserUpsertInput(external_id=name, email=f"{name}@example.org") for name in names]


def test_any_number_of_accounts_is_brought_in_and_the_same_again_changes_nothing() -> None:
    users = accounts(unique("p"), 1_100)
    with RollcallClient(url(), platform_key(*ALL)) as client:
        batches = list(client.upsert_users(user for user in users))
        assert [(batch.offset, len(batch.results)) for batch in batches] == [(0, 500), (500, 500), (1_000, 100)]
        results = [result for batch in batches for result in batch.results]
        assert all(result.outcome is UpsertOutcome.CREATED for result in results)
        assert [result.user.external_id for result in results] == [user.external_id for user in users]
        found = client.graphql.user(UserRef(external_id=users[1_050].external_id))
        assert found
        assert found.id == results[1_050].user.id
        assert list(client.upsert_users([])) == []

    async def read() -> AsyncIterator[UserUpsertInput]:
        for user in users:
            yield user

    async def again() -> list[tuple[int, list[UpsertOutcome]]]:
        async with AsyncRollcallClient(url(), platform_key(*ALL)) as client:
            return [
                (batch.offset, [result.outcome for result in batch.results])
                for items in (users, read())
                async for batch in client.upsert_users(items)
            ]

    sizes = [(0, 500), (500, 500), (1_000, 100)] * 2
    assert asyncio.run(again()) == [(offset, [UpsertOutcome.UNCHANGED] * size) for offset, size in sizes]


def test_a_batch_that_is_refused_names_the_item_among_all_and_the_batches_before_it_stay() -> None:
    users = accounts(unique("p"), 700)
    users[612].email = "no address"
    with RollcallClient(url(), platform_key(*ALL)) as client:
        with pytest.raises(UpsertError) as caught:
            list(client.upsert_users(users))
        assert (caught.value.offset, caught.value.size) == (500, 200)
        (error,) = caught.value.user_errors
        assert (error.code, error.field) == (UserErrorCode.INVALID, ["input", "users", "612", "email"])
        found = [client.graphql.user(UserRef(external_id=users[number].external_id)) for number in (499, 500)]
        assert found[0] is not None
        assert found[1] is None


def test_resources_with_much_metadata_take_more_requests() -> None:
    world = World(1)
    prefix = unique("r")

    def resources(metadata: dict[str, object], count: int) -> list[ResourceUpsertInput]:
        return [
            ResourceUpsertInput(
                kind=ResourceKind.VOLUME,
                external_id=f"{prefix}-{number}",
                name=f"Volume {number}",
                owner=UserRef(external_id=world.people[0]),
                size_bytes=9007199254740993,
                metadata=metadata,
            )
            for number in range(count)
        ]

    there = OrganizationBy(id=world.organization)
    batches = list(world.client.upsert_resources(there, resources({"text": "é" * 3_000}, 300)))
    assert 1 < len(batches) < 4
    assert sum(len(batch.results) for batch in batches) == 300

    async def again() -> int:
        async with AsyncRollcallClient(url(), world.key) as client:
            changed = resources({"list": [1] * 500}, 100)
            return sum([len(batch.results) async for batch in client.upsert_resources(there, changed)])

    assert asyncio.run(again()) == 100


def test_a_mutation_with_an_idempotency_key_is_done_once() -> None:
    world = World(1)
    client = RollcallClient(url(), world.key, on_behalf_of=f"external:{world.people[0]}")
    key = unique("key")
    asked = CreateOrganizationInput(name=unique("Acme"))

    def found(asked: CreateOrganizationInput, **options: Unpack[RequestOptions]) -> str:
        organization = or_raise(client.graphql.create_organization(asked, **options)).organization
        assert organization
        return organization.id

    first = found(asked, idempotency_key=key)
    assert found(asked, idempotency_key=key) == first
    assert found(asked) != first
    with pytest.raises(UserErrors) as caught:
        found(CreateOrganizationInput(name=unique("Other")), idempotency_key=key)
    assert [error.code for error in caught.value.user_errors] == [UserErrorCode.CONFLICT]


def test_organizations_are_brought_in_with_their_owners() -> None:
    world = World(1)
    prefix = unique("o")
    organizations = [
        OrganizationUpsertInput(
            external_id=f"{prefix}-{number}", name=f"Laboratory {number}", owner=UserRef(external_id=world.people[0])
        )
        for number in range(120)
    ]
    batches = list(world.client.upsert_organizations(organizations))
    assert [(batch.offset, len(batch.results)) for batch in batches] == [(0, 100), (100, 20)]
    found = world.client.graphql.organization(OrganizationBy(external_id=f"{prefix}-110"))
    assert found
    assert found.id == batches[1].results[10].organization.id

    async def again() -> set[UpsertOutcome]:
        async with AsyncRollcallClient(url(), world.key) as client:
            return {r.outcome async for batch in client.upsert_organizations(organizations) for r in batch.results}

    assert asyncio.run(again()) == {UpsertOutcome.UNCHANGED}


def test_members_and_teams_are_brought_in_by_batches_and_what_is_left_out_stays() -> None:
    world = World(1)
    users = accounts(unique("m"), 520)
    list(world.client.upsert_users(users))
    there = OrganizationBy(id=world.organization)
    people = [UserRef(external_id=user.external_id) for user in users]
    members = [MemberUpsertInput(user=person) for person in people]
    members[510].role = Role.ADMIN
    joined = list(world.client.upsert_members(there, members))
    assert [(batch.offset, len(batch.results)) for batch in joined] == [(0, 500), (500, 20)]
    results = [result for batch in joined for result in batch.results]
    assert {result.outcome for result in results} == {UpsertOutcome.CREATED}
    assert [result.member.user.external_id for result in results] == [user.external_id for user in users]

    same = [MemberUpsertInput(user=person) for person in people]
    again = [r.outcome for batch in world.client.upsert_members(there, same) for r in batch.results]
    assert again == [UpsertOutcome.UNCHANGED] * 520
    found = world.client.graphql.membership(people[510], there)
    assert found
    assert found.role is Role.ADMIN
    stranger = MemberUpsertInput(user=UserRef(external_id=unique("stranger")))
    with pytest.raises(UpsertError) as caught:
        list(world.client.upsert_members(there, [*same, stranger]))
    (error,) = caught.value.user_errors
    assert (error.code, error.field) == (UserErrorCode.NOT_FOUND, ["input", "members", "520", "user", "externalId"])

    prefix = unique("t")
    teams = [
        TeamUpsertInput(
            external_id=f"{prefix}-{number}",
            name=f"Team {number}",
            members=[UserRef(external_id=world.people[0]), people[number]],
        )
        for number in range(120)
    ]
    made = list(world.client.upsert_teams(there, teams))
    assert [(batch.offset, len(batch.results)) for batch in made] == [(0, 100), (100, 20)]
    assert made[1].results[10].team.external_id == f"{prefix}-110"

    async def unchanged() -> set[UpsertOutcome]:
        async with AsyncRollcallClient(url(), world.key) as client:
            kept = {r.outcome async for batch in client.upsert_members(there, same) for r in batch.results}
            return kept | {r.outcome async for batch in client.upsert_teams(there, teams) for r in batch.results}

    assert asyncio.run(unchanged()) == {UpsertOutcome.UNCHANGED}


def test_resources_are_transferred_and_deleted_by_the_platforms_own_ids() -> None:
    world = World(2)
    first, second = (UserRef(external_id=person) for person in world.people)
    external = ExternalResourceRef(kind=ResourceKind.VOLUME, external_id=unique("r"))
    volume = ResourceUpsertInput(kind=external.kind, external_id=external.external_id, name="Volume", owner=first)
    list(world.client.upsert_resources(OrganizationBy(id=world.organization), [volume]))
    named = ResourceRef(external=external)
    given = TransferResourcesInput(organization_id=world.organization, resources=[named], to=second)
    or_raise(world.client.graphql.transfer_resources(given))
    found = world.client.graphql.resource(named)
    assert found
    assert found.owner.id == world.users[1]
    gone = DeleteResourcesInput(resources=[named])
    assert [or_raise(world.client.graphql.delete_resources(gone)).deleted for _ in range(2)] == [1, 1]
    assert world.client.graphql.resource(named) is None
