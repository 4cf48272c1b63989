import base64
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from live import World, platform_key, unique, until, url
from rollcall_client import or_raise
from rollcall_client.graphql import (
    ChangeMemberRoleInput,
    CreateWebhookInput,
    RemoveMemberInput,
    Role,
    UpdateOrganizationInput,
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
    _, member = world.members()[world.users[1]]
    or_raise(world.client.graphql.change_member_role(ChangeMemberRoleInput(member_id=member, role=Role.ADMIN)))
    assert mirrored(first)[world.users[1]] == "admin"
    first.process.kill()
    first.process.wait()
    remove(world, 2)
    second = start(**environment)
    roles = mirrored(second)
    assert len(roles) == 3
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
