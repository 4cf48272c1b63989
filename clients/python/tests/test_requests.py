import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from rollcall_client import (
    AsyncRollcallClient,
    BadRequest,
    RateLimited,
    RequestError,
    RollcallClient,
    TransportError,
    Unauthenticated,
    Unavailable,
    UserErrors,
    or_raise,
)
from rollcall_client.graphql import CreateOrganizationInput, ReportUsageInput, UpsertUsersInput, UserRef
from rollcall_client.graphql.upsert_users import UpsertUsersUpsertUsers

USER = {"id": "usr_1", "externalId": "p-1", "username": "ada", "name": "Ada", "metadata": {"lab": 7}}
FOUND = httpx.Response(200, json={"data": {"user": USER}})
CREATED = httpx.Response(200, json={"data": {"createOrganization": {"organization": None, "userErrors": []}}})
CUT = httpx.ReadError("the connection was closed")
ADA = UserRef(external_id="p-1")
ACME = CreateOrganizationInput(name="Acme")

Answer = httpx.Response | httpx.TransportError


def refused(status: int, code: str, **extensions: Any) -> httpx.Response:
    error = {"message": f"refused as {code}", "extensions": {"code": code, **extensions}}
    return httpx.Response(status, json={"errors": [error]}, headers={"x-request-id": "req-7"})


class Stub:
    """Answers in turn; the last one again and again."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = answers
        self.arrivals: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        answer = self.answers[min(len(self.arrivals), len(self.answers) - 1)]
        self.arrivals.append(request)
        if isinstance(answer, httpx.TransportError):
            raise answer
        # A response is read once.
        return httpx.Response(answer.status_code, content=answer.content, headers=answer.headers)

    def client(self, **options: Any) -> RollcallClient:
        http = httpx.Client(transport=httpx.MockTransport(self))
        return RollcallClient("https://rollcall.test/base/", "k", http=http, **options)

    def async_client(self, **options: Any) -> AsyncRollcallClient:
        http = httpx.AsyncClient(transport=httpx.MockTransport(self))
        return AsyncRollcallClient("https://rollcall.test/base/", "k", http=http, **options)


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """What the clients wait for between tries, which takes no time here."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("rollcall_client._transport.time.sleep", waits.append)
    monkeypatch.setattr("rollcall_client._transport.asyncio.sleep", sleep)
    return iter([waits])


Call = Callable[[Stub], Any]


def in_threads(call: Callable[[RollcallClient], Any], **options: Any) -> Call:
    return lambda stub: call(stub.client(**options))


def in_asyncio(call: Callable[[AsyncRollcallClient], Any], **options: Any) -> Call:
    async def run(stub: Stub) -> Any:
        async with stub.async_client(**options) as client:
            return await call(client)

    return lambda stub: asyncio.run(run(stub))


def both(call: Callable[[Any], Any], **options: Any) -> list[Call]:
    return [in_threads(call, **options), in_asyncio(call, **options)]


def find(client: Any) -> Any:
    return client.graphql.user(ADA)


def create(client: Any) -> Any:
    return client.graphql.create_organization(ACME)


def create_once(client: Any) -> Any:
    return client.graphql.create_organization(ACME, idempotency_key="acme-1")


def test_a_request_carries_the_key_the_person_and_the_variables() -> None:
    for call in both(lambda client: client.graphql.user(ADA, on_behalf_of="external:gérard-李")):
        stub = Stub(FOUND)
        user = call(stub)
        assert user.metadata == {"lab": 7}
        (request,) = stub.arrivals
        assert str(request.url) == "https://rollcall.test/base/graphql"
        assert request.headers["authorization"] == "Bearer k"
        raw = dict(request.headers.raw)
        named = next(value for name, value in raw.items() if name.lower() == b"rollcall-on-behalf-of")
        assert named.decode() == "external:gérard-李"
        assert json.loads(request.content)["variables"] == {"by": {"externalId": "p-1"}}
    for call in both(find, on_behalf_of="usr_2"):
        stub = Stub(FOUND)
        call(stub)
        assert stub.arrivals[0].headers["rollcall-on-behalf-of"] == "usr_2"
    keys = iter(["first", "second"])
    stub = Stub(refused(503, "UNAVAILABLE"), FOUND)
    http = httpx.Client(transport=httpx.MockTransport(stub))
    RollcallClient("https://rollcall.test", lambda: next(keys), http=http).graphql.user(ADA)
    assert [request.headers["authorization"] for request in stub.arrivals] == ["Bearer first", "Bearer second"]


def test_inputs_travel_as_they_were_given() -> None:
    entries = [
        {"idempotency_key": "1", "kind": "CPU_HOURS", "quantity": "0.10", "occurred_at": "2026-01-02T03:04:05Z"},
    ]
    stub = Stub(
        httpx.Response(200, json={"data": {"reportUsage": {"recorded": 1, "alreadyRecorded": 0, "userErrors": []}}})
    )
    stub.client().graphql.report_usage(ReportUsageInput.model_validate({"entries": entries}))
    users = [{"external_id": "p-1", "name": None, "metadata": {"snake_case": 1}}]
    stub.answers = (httpx.Response(200, json={"data": {"upsertUsers": {"results": [], "userErrors": []}}}),)
    stub.client().graphql.upsert_users(UpsertUsersInput.model_validate({"users": users}))
    usage, upsert = (json.loads(request.content)["variables"]["input"] for request in stub.arrivals)
    assert usage["entries"][0]["quantity"] == "0.10"
    assert usage["entries"][0]["occurredAt"] == "2026-01-02T03:04:05Z"
    # Null clears, and what is left out stays.
    assert upsert["users"] == [{"externalId": "p-1", "name": None, "metadata": {"snake_case": 1}}]


def test_what_was_refused_for_a_while_is_sent_again(slept: Iterator[list[float]]) -> None:
    (waits,) = slept
    for call in both(create):
        waits.clear()
        busy = httpx.Response(503, text="busy", headers={"retry-after": "7"})
        stub = Stub(refused(429, "RATE_LIMITED", retryAfter=3), busy, CREATED)
        call(stub)
        assert len(stub.arrivals) == 3
        assert 3 <= waits[0] < 4
        assert 7 <= waits[1] < 8


def test_it_gives_up_after_some_tries_and_at_once_where_the_wait_is_too_long() -> None:
    for call in both(find, retries=2):
        stub = Stub(refused(503, "UNAVAILABLE", retryAfter=1))
        with pytest.raises(Unavailable, match="refused as UNAVAILABLE") as caught:
            call(stub)
        assert (caught.value.status, caught.value.retry_after, caught.value.request_id) == (503, 1, "req-7")
        assert len(stub.arrivals) == 3
    for call in both(find):
        stub = Stub(refused(429, "RATE_LIMITED", retryAfter=900))
        with pytest.raises(RateLimited):
            call(stub)
        assert len(stub.arrivals) == 1


def test_what_has_no_answer_is_sent_again_only_where_that_can_do_no_harm() -> None:
    bad_gateway = httpx.Response(502, text="<html>")
    for call in both(find):
        stub = Stub(CUT, bad_gateway, FOUND)
        call(stub)
        assert len(stub.arrivals) == 3
    for call in both(create):
        for answer in (CUT, bad_gateway):
            stub = Stub(answer, CREATED)
            with pytest.raises(TransportError):
                call(stub)
            assert len(stub.arrivals) == 1
    for call in both(create_once):
        stub = Stub(CUT, CREATED)
        call(stub)
        assert [request.headers["idempotency-key"] for request in stub.arrivals] == ["acme-1", "acme-1"]
    for key in ("", "two words", "é", "x" * 256):
        with pytest.raises(ValueError, match="idempotency_key"):
            Stub(CREATED).client().graphql.create_organization(ACME, idempotency_key=key)


def test_other_refusals_are_raised_at_once() -> None:
    kinds = {
        "UNAUTHENTICATED": (401, Unauthenticated),
        "BAD_REQUEST": (400, BadRequest),
        "INTERNAL": (500, RequestError),
    }
    for code, (status, kind) in kinds.items():
        for call in both(find):
            stub = Stub(refused(status, code))
            with pytest.raises(kind) as caught:
                call(stub)
            assert (caught.value.code, len(stub.arrivals)) == (code, 1)
    partly = httpx.Response(
        200, json={"data": {"user": None}, "errors": [{"message": "no", "extensions": {"code": "X"}}]}
    )
    with pytest.raises(RequestError) as caught:
        Stub(partly).client().graphql.user(ADA)
    assert (caught.value.code, caught.value.data) == ("X", {"user": None})
    for page in (
        httpx.Response(200, text="<html>"),
        httpx.Response(307, headers={"location": "https://elsewhere.test"}),
    ):
        stub = Stub(page)
        with pytest.raises(TransportError):
            stub.client().graphql.user(ADA)
        assert [request.url.host for request in stub.arrivals] == ["rollcall.test"]


def test_user_errors_are_data_or_raised() -> None:
    error = {"code": "A_NEW_CODE", "message": "it is taken", "field": ["input", "users", "0", "email"]}
    payload = UpsertUsersUpsertUsers.model_validate({"results": None, "userErrors": [error]})
    # What this version doesn't know stays readable.
    assert payload.user_errors[0].code == "A_NEW_CODE"
    with pytest.raises(UserErrors, match=r"^A_NEW_CODE on input\.users\.0\.email: it is taken$"):
        or_raise(payload)
    fine = UpsertUsersUpsertUsers.model_validate({"results": [], "userErrors": []})
    assert or_raise(fine) is fine
