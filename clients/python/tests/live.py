"""People and organizations on the service that these tests run against; `with_server.py` starts it."""

import os
import secrets
import time
from collections.abc import Callable
from typing import TypeVar

from rollcall_client import RollcallClient, or_raise
from rollcall_client.graphql import (
    AcceptInvitationInput,
    CreateOrganizationInput,
    InvitationInput,
    InviteMembersInput,
    OrganizationBy,
    UserUpsertInput,
)

ALL = [
    "READ",
    "USERS_WRITE",
    "ORGANIZATIONS_WRITE",
    "MEMBERS_WRITE",
    "RESOURCES_WRITE",
    "ACCESS_CHECK",
    "EVENTS_READ",
    "ACT_FOR_USERS",
]

T = TypeVar("T")


def setting(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise RuntimeError(f"{name} is missing: run these tests by `make clients-test`")
    return value


def url() -> str:
    return setting("ROLLCALL_URL")


def platform_key(*scopes: str) -> str:
    """A platform key's secret."""
    query = """mutation($input: CreatePlatformKeyInput!) {
        createPlatformKey(input: $input) { secret userErrors { code message field } }
    }"""
    with RollcallClient(url(), setting("ROLLCALL_STAFF_TOKEN")) as staff:
        data = staff.execute(query, {"input": {"name": "clients", "scopes": list(scopes)}})
    secret: str = data["createPlatformKey"]["secret"]
    return secret


def unique(name: str) -> str:
    """A name that nothing else on the service has."""
    return f"{name}-{secrets.token_hex(6)}"


def until(what: str, look: Callable[[], T | None]) -> T:
    """Waits until something is there."""
    began = time.monotonic()
    while time.monotonic() - began < 60:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"there is still not: {what}")


class World:
    """An organization that people of the platform are members of. The first one owns it."""

    def __init__(self, count: int = 0, people: list[str] | None = None) -> None:
        self.key = platform_key(*ALL)
        self.client = RollcallClient(url(), self.key)
        prefix = unique("p")
        self.people = people or [f"{prefix}-{number}" for number in range(count)]
        accounts = [
            UserUpsertInput(external_id=person, email=f"{person}@example.org", username=person, name="Somebody")
            for person in self.people
        ]
        batches = self.client.upsert_users(accounts)
        self.users = [result.user.id for batch in batches for result in batch.results]
        owner = f"external:{self.people[0]}"
        founded = self.client.graphql.create_organization(
            CreateOrganizationInput(name=unique("Acme")), on_behalf_of=owner
        )
        organization = or_raise(founded).organization
        assert organization
        self.organization = organization.id
        for person in self.people[1:]:
            self.join(person)

    def join(self, person: str) -> None:
        owner = f"external:{self.people[0]}"
        asked = InviteMembersInput(organization_id=self.organization, invitations=[InvitationInput(username=person)])
        invitations = or_raise(self.client.graphql.invite_members(asked, on_behalf_of=owner)).invitations
        assert invitations
        accepted = AcceptInvitationInput(id=invitations[0].id)
        or_raise(self.client.graphql.accept_invitation(accepted, on_behalf_of=f"external:{person}"))

    def members(self) -> dict[str, tuple[str, str]]:
        """The active members' roles and the ids of their memberships, as the service says."""
        by = OrganizationBy(id=self.organization)
        organization = self.client.graphql.organization_members(by, 100)
        assert organization
        assert organization.members
        return {member.user.id: (member.role.lower(), member.id) for member in organization.members.nodes}

    def roles(self) -> dict[str, str]:
        return {person: role for person, (role, _) in self.members().items()}
