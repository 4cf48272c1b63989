import base64
import hashlib
import hmac
import json
from email.message import Message

import pytest

from rollcall_client import WebhookVerificationError, verify_webhook
from rollcall_client.webhooks import verify_signature

# The example of Standard Webhooks' specification.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = 1_614_265_330
BODY = '{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
HEADERS = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": str(NOW),
    "webhook-signature": SIGNATURE,
}
OTHER = "whsec_" + base64.b64encode(b"\7" * 32).decode()


def sign(secret: str, body: str) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = f"{HEADERS['webhook-id']}.{NOW}.{body}".encode()
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()


def refuse(headers: dict[str, str], body: str = BODY, secrets: str | list[str] = SECRET, now: float = NOW) -> None:
    with pytest.raises(WebhookVerificationError):
        verify_signature(headers, body, secrets, now=now)


def test_the_specifications_example_is_genuine() -> None:
    for body in (BODY, BODY.encode()):
        verify_signature(HEADERS, body, SECRET, now=NOW)
    verify_signature({name.title(): value for name, value in HEADERS.items()}, BODY, SECRET, now=NOW)
    # As http.server has them.
    message = Message()
    for name, value in HEADERS.items():
        message[name] = value
    verify_signature(message, BODY, SECRET, now=NOW)


def test_an_event_is_read() -> None:
    data = {
        "id": "evt_1", "organizationId": "org_1", "sequence": "9007199254740993", "actorKind": "A_NEW_KIND",
        "actorId": None, "targetId": "mem_1", "summary": "…", "metadata": {"subject": "usr_1"}, "later": True,
    }  # fmt: skip
    body = json.dumps({"type": "organization.member_joined", "timestamp": "2026-11-22T05:10:12.345678Z", "data": data})
    event = verify_webhook(HEADERS | {"webhook-signature": sign(SECRET, body)}, body, SECRET, now=NOW)
    assert (event.type, event.timestamp.year, event.data.organization_id) == (
        "organization.member_joined",
        2026,
        "org_1",
    )
    assert (event.data.sequence, event.data.actor_kind) == (9007199254740993, "A_NEW_KIND")


def test_any_other_body_id_time_or_secret_is_refused() -> None:
    refuse(HEADERS, BODY + " ")
    refuse(HEADERS, secrets=OTHER)
    refuse(HEADERS | {"webhook-id": "msg_x"})
    refuse(HEADERS | {"webhook-timestamp": str(NOW + 1)})
    for signature in ("v1,", "v1,AAAA", "v1,é", " ", "v2" + SIGNATURE[2:], SIGNATURE[3:]):
        refuse(HEADERS | {"webhook-signature": signature})
    for name in HEADERS:
        refuse({other: value for other, value in HEADERS.items() if other != name})
    refuse(HEADERS | {"webhook-timestamp": "nan"})


def test_it_is_taken_for_five_minutes_before_and_after_its_time() -> None:
    for age in (-300, 0, 300):
        verify_signature(HEADERS, BODY, SECRET, now=NOW + age)
    refuse(HEADERS, now=NOW + 301)
    refuse(HEADERS, now=NOW - 301)
    refuse(HEADERS, now=float("nan"))
    verify_signature(HEADERS, BODY, SECRET, now=NOW + 900, tolerance=1_000)


def test_two_secrets_are_good_while_they_change() -> None:
    verify_signature(HEADERS, BODY, [OTHER, SECRET], now=NOW)
    both = HEADERS | {"webhook-signature": f"{sign(OTHER, BODY)} {SIGNATURE}"}
    verify_signature(both, BODY, SECRET, now=NOW)
    verify_signature(both, BODY, OTHER, now=NOW)


def test_a_secret_that_is_none_is_an_error_of_the_program() -> None:
    for secrets in ("", "whsec_", SECRET[6:], [], [SECRET, ""]):
        with pytest.raises(ValueError, match="secret"):
            verify_signature(HEADERS, BODY, secrets, now=NOW)
