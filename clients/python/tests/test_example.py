import base64
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from live import World, platform_key, unique, until, url
from rollcall_client import or_raise
from rollcall_client.graphql import (
    ChangeMemberRoleInput,
    CreateWebhookInput,
    MemberUpsertInput,
    OrganizationBy,
    RemoveMemberInput,
    ResourceKind,
    ResourceUpsertInput,
    Role,
    UpdateOrganizationInput,
    UserRef,
    UserUpsertInput,
    Visibility,
)

EXAMPLE = Path(__file__).parents[1] / "examples" / "service.py"


class Service:
    """The example, as a process of its own."""

    def __init__(self, environment: dict[str, str], port: int) -> None:
        given = {"ROLLCALL_URL": url(), "PORT": str(port)} | environment
        self.process = subprocess.Popen([sys.executable, EXAMPLE], env=os.environ | given)
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        until("the example listens", self._is_up)

    def _is_up(self) -> bool:
        try:
            return self.http.get("/deliveries").is_success
        except httpx.TransportError:
            return False

    def status(self, project: str, person: str | None = None) -> int:
        return self.http.get(f"/projects/{project}", headers={"x-person": person} if person else {}).status_code


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


Start = Callable[..., Service]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[Service] = []

    def run(port: int | None = None, **environment: str) -> Service:
        started.append(Service(environment, port or free_port()))
        return started[-1]

    yield run
    for service in started:
        service.process.kill()
        service.process.wait()


def remove(world: World, number: int) -> None:
    _, member = world.members()[world.users[number]]
    or_raise(world.client.graphql.remove_member(RemoveMemberInput(member_id=member)))


def test_it_mirrors_memberships_through_a_crash_and_a_restart(start: Start, tmp_path: Path) -> None:
    world = World(4)
    environment = {"ROLLCALL_KEY": platform_key("EVENTS_READ"), "STATE": str(tmp_path / "memberships.sqlite")}

    def mirrored(service: Service) -> dict[str, str]:
        def look() -> dict[str, str] | None:
            roles = world.roles()
            return roles if service.http.get(f"/members/{world.organization}").json() == roles else None

        return until("the mirror agrees", look)

    first = start(**environment)
    assert len(mirrored(first)) == 4
    # Brought in together, they are in one event.
    newcomers = [unique("p"), unique("p")]
    list(world.client.upsert_users(UserUpsertInput(external_id=p, email=f"{p}@example.org") for p in newcomers))
    members = (MemberUpsertInput(user=UserRef(external_id=person)) for person in newcomers)
    list(world.client.upsert_members(OrganizationBy(id=world.organization), members))
    assert len(mirrored(first)) == 6
    _, member = world.members()[world.users[1]]
    or_raise(world.client.graphql.change_member_role(ChangeMemberRoleInput(member_id=member, role=Role.ADMIN)))
    assert mirrored(first)[world.users[1]] == "admin"
    first.process.kill()
    first.process.wait()
    remove(world, 2)
    second = start(**environment)
    roles = mirrored(second)
    assert len(roles) == 5
    assert world.users[2] not in roles
    second.process.terminate()
    assert second.process.wait(30) in (0, -signal.SIGTERM)


def test_it_ends_where_it_may_not_read_the_feed(tmp_path: Path) -> None:
    given = {
        "ROLLCALL_URL": url(),
        "ROLLCALL_KEY": platform_key("READ"),
        "PORT": str(free_port()),
        "STATE": str(tmp_path / "1"),
    }
    ended = subprocess.run(
        [sys.executable, EXAMPLE], env=os.environ | given, stderr=subprocess.PIPE, timeout=60, check=False
    )
    assert b"EVENTS_READ" in ended.stderr


def test_it_lets_in_whom_rollcall_allows_and_nobody_without_its_answer(start: Start, tmp_path: Path) -> None:
    world = World(2)
    owner, member = world.people
    hers, common = unique("project"), unique("project")
    projects = [
        ResourceUpsertInput(
            kind=ResourceKind.PROJECT,
            external_id=name,
            name=name,
            owner=UserRef(external_id=owner),
            visibility=Visibility.ORGANIZATION if name == common else Visibility.PRIVATE,
        )
        for name in (hers, common)
    ]
    list(world.client.upsert_resources(OrganizationBy(id=world.organization), projects))
    service = start(ROLLCALL_KEY=world.key, STATE=str(tmp_path / "1"))
    shown = service.http.get(f"/projects/{hers}", headers={"x-person": owner})
    assert (shown.status_code, shown.json()) == (200, {"project": hers, "person": owner})
    assert service.status(common, member) == 200
    assert service.status(hers, member) == 404
    assert service.status(common, "a-stranger") == 404
    assert service.status("no-such-project", owner) == 404
    assert service.status(common) == 401
    # Many at once are asked together, and each gets their own answer.
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda number: service.status(hers if number % 2 else common, member), range(40)))
    assert answers == [404 if number % 2 else 200 for number in range(40)]
    remove(world, 1)
    assert service.status(common, member) == 404

    blind = start(ROLLCALL_KEY=platform_key("EVENTS_READ"), STATE=str(tmp_path / "2"))
    assert blind.status(hers, owner) != 200
    lost = start(ROLLCALL_URL="http://127.0.0.1:64999", ROLLCALL_KEY=world.key, STATE=str(tmp_path / "3"))
    assert lost.status(hers, owner) == 503


def test_it_takes_genuine_deliveries_alone_with_the_old_secret_and_the_new_one(start: Start, tmp_path: Path) -> None:
    world = World(1)
    port = free_port()
    asked = CreateWebhookInput(
        organization_id=world.organization, url=f"http://127.0.0.1:{port}/webhooks", events=["organization.updated"]
    )
    secret = or_raise(world.client.graphql.create_webhook(asked)).secret
    other = "whsec_" + base64.b64encode(b"\1" * 32).decode()
    service = start(port, ROLLCALL_KEY=world.key, STATE=str(tmp_path / "1"), WEBHOOK_SECRETS=f"{other} {secret}")
    changed = UpdateOrganizationInput(id=world.organization, name=unique("Acme"))
    or_raise(world.client.graphql.update_organization(changed))
    until("the delivery", lambda: "organization.updated" in service.http.get("/deliveries").json())
    headers = {"webhook-id": "evt_1", "webhook-timestamp": str(int(time.time())), "webhook-signature": "v1,AAAA"}
    assert service.http.post("/webhooks", headers=headers, content="{}").status_code == 401
