"""A client of Rollcall, the organization service, for a platform's own services."""

from ._transport import RequestOptions
from .access import CHECKS_PER_REQUEST, AccessDecision
from .client import AsyncRollcallClient, ExplainedAccess, RollcallClient
from .errors import (
    BadRequest,
    Forbidden,
    RateLimited,
    RequestError,
    RollcallError,
    TransportError,
    Unauthenticated,
    Unavailable,
    UserErrors,
    or_raise,
)
from .feed import CursorStore, EventPage, FeedEvent, FileCursor
from .people import people_of
from .upserts import UpsertBatch, UpsertError
from .webhooks import WebhookData, WebhookEvent, WebhookVerificationError, verify_webhook

__all__ = [
    "CHECKS_PER_REQUEST",
    "AccessDecision",
    "AsyncRollcallClient",
    "BadRequest",
    "CursorStore",
    "EventPage",
    "ExplainedAccess",
    "FeedEvent",
    "FileCursor",
    "Forbidden",
    "RateLimited",
    "RequestError",
    "RequestOptions",
    "RollcallClient",
    "RollcallError",
    "TransportError",
    "Unauthenticated",
    "Unavailable",
    "UpsertBatch",
    "UpsertError",
    "UserErrors",
    "WebhookData",
    "WebhookEvent",
    "WebhookVerificationError",
    "or_raise",
    "people_of",
    "verify_webhook",
]
