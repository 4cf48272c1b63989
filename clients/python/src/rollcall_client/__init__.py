"""A client of Rollcall, the organization service, for a platform's own services."""

from ._transport import RequestOptions
from .client import AsyncRollcallClient, RollcallClient
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
from .upserts import UpsertBatch, UpsertError
from .webhooks import WebhookData, WebhookEvent, WebhookVerificationError, verify_webhook

__all__ = [
    "AsyncRollcallClient",
    "BadRequest",
    "CursorStore",
    "EventPage",
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
    "verify_webhook",
]
