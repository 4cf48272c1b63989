"""Verifies what webhooks deliver."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from ._json import JsonObject
from .graphql.base_model import BaseModel
from .graphql.enums import ActorKind


class WebhookData(BaseModel):
    """The event. The names are those of `AuditEvent` in the API."""

    id: str
    """The event's id, the same in every repeat of the delivery."""
    organization_id: str | None
    """None for an event of the deployment's own log."""
    organization_external_id: str | None = None
    """The platform's own id of the organization; in deliveries of a webhook of the platform."""
    sequence: int
    """The event's place in the organization's log."""
    actor_kind: ActorKind
    actor_id: str | None
    target_id: str | None
    summary: str
    metadata: JsonObject


class WebhookEvent(BaseModel):
    """What a webhook delivers."""

    type: str
    """The event's action, such as `organization.member_joined`."""
    timestamp: datetime
    """When it happened."""
    data: WebhookData


class Headers(Protocol):
    """A request's headers, as mappings, `http.server` and the web frameworks have them."""

    def items(self) -> Iterable[tuple[str, str]]: ...


class WebhookVerificationError(Exception):
    """The delivery isn't to be trusted: answer with 400 or 401, and do nothing."""


def verify_webhook(
    headers: Headers,
    body: bytes | str,
    secrets: str | Sequence[str],
    *,
    tolerance: float = 300,
    now: float | None = None,
) -> WebhookEvent:
    """Checks that a delivery comes from Rollcall, and returns what it says.

    `body` is the request's body as it came: parsed and written anew, it would not have the signature. `secrets` are the
    webhook's secret (`whsec_…`), or the old and the new one while you change over. `tolerance` says how many seconds
    old or in the future a delivery may be.

    Raises `WebhookVerificationError`.
    """
    verify_signature(headers, body, secrets, tolerance=tolerance, now=now)
    return WebhookEvent.model_validate_json(body)


def verify_signature(
    headers: Headers,
    body: bytes | str,
    secrets: str | Sequence[str],
    *,
    tolerance: float = 300,
    now: float | None = None,
) -> None:
    """Like `verify_webhook`, without reading what the body says."""
    keys = [key_of(secret) for secret in ([secrets] if isinstance(secrets, str) else secrets)]
    if not keys:
        raise ValueError("there is no secret to verify webhooks with")
    known = {name.lower(): value for name, value in headers.items()}
    identifier, timestamp, signatures = (header(known, f"webhook-{name}") for name in ("id", "timestamp", "signature"))
    if not re.fullmatch(r"[0-9]{1,15}", timestamp):
        raise WebhookVerificationError("webhook-timestamp is no time")
    if not abs((time.time() if now is None else now) - int(timestamp)) <= tolerance:
        raise WebhookVerificationError("the delivery is too old, or the clocks differ")
    content = f"{identifier}.{timestamp}.".encode() + (body.encode() if isinstance(body, str) else body)
    given = [decoded(signature[3:]) for signature in signatures.split(" ") if signature.startswith("v1,")]
    expected = [hmac.new(key, content, hashlib.sha256).digest() for key in keys]
    if not any(hmac.compare_digest(one, other) for one in expected for other in given):
        raise WebhookVerificationError("none of the signatures is one of the secrets'")


def key_of(secret: str) -> bytes:
    encoded = secret.removeprefix("whsec_")
    if encoded == secret or not re.fullmatch(r"[A-Za-z0-9+/]{32,}={0,2}", encoded):
        raise ValueError("a webhook's secret is `whsec_` and base64")
    return base64.b64decode(encoded)


def decoded(signature: str) -> bytes:
    try:
        return base64.b64decode(signature, validate=True)
    except ValueError:
        return b""


def header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    if not value:
        raise WebhookVerificationError(f"there is no header {name}")
    return value
