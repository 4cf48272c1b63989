"""What the clients raise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from .graphql.fragments import UserErrorFields


class RollcallError(Exception):
    """What anything that the clients raise for a request is an instance of."""


class TransportError(RollcallError):
    """There was no answer, or none of the service's. A mutation may or may not have been done."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        """The HTTP status, if there was one."""


class RequestError(RollcallError):
    """The service refused the request, or could not answer all of it."""

    def __init__(
        self,
        errors: Sequence[Mapping[str, Any]],
        status: int,
        retry_after: float | None,
        request_id: str | None,
        data: Any,
    ) -> None:
        super().__init__(errors[0].get("message") if errors else f"HTTP status {status}")
        self.errors = errors
        """All errors of the answer; `code` and the message are the first one's."""
        self.status = status
        """The HTTP status."""
        self.retry_after = retry_after
        """After how many seconds to try again, where the service says so."""
        self.request_id = request_id
        """The request's id, to look for in the service's log."""
        self.data = data
        """What could be answered nevertheless."""
        self.code = code_of(errors, status)
        """The code, such as `BAD_REQUEST`. Later versions of the service may have more of them."""


class Unauthenticated(RequestError):
    """The key is unknown, expired or revoked, or the person for whom it acts can't be acted for."""


class Forbidden(RequestError):
    """The key lacks a scope, which the message names."""


class BadRequest(RequestError):
    """The request can't be read, or is over a limit."""


class RateLimited(RequestError):
    """Too many requests of this kind; `retry_after` says when to try again."""


class Unavailable(RequestError):
    """The service is too busy. Nothing was done."""


BY_CODE: dict[str, type[RequestError]] = {
    "UNAUTHENTICATED": Unauthenticated,
    "FORBIDDEN": Forbidden,
    "BAD_REQUEST": BadRequest,
    "RATE_LIMITED": RateLimited,
    "UNAVAILABLE": Unavailable,
}


def code_of(errors: Sequence[Mapping[str, Any]], status: int) -> str:
    code = (errors[0].get("extensions") or {}).get("code") if errors else None
    if isinstance(code, str):
        return code
    known = {401: "UNAUTHENTICATED", 429: "RATE_LIMITED", 503: "UNAVAILABLE"}
    return known.get(status, "BAD_REQUEST" if status < 500 else "INTERNAL")


class UserErrors(RollcallError):
    """A mutation's `userErrors`, raised by `or_raise` and by the upserts. Nothing was changed."""

    def __init__(self, user_errors: Sequence[UserErrorFields]) -> None:
        super().__init__("; ".join(map(described, user_errors)))
        self.user_errors = user_errors


def described(error: UserErrorFields) -> str:
    return f"{error.code} on {'.'.join(error.field) or 'the request'}: {error.message}"


class _Payload(Protocol):
    @property
    def user_errors(self) -> Sequence[UserErrorFields]: ...


Payload = TypeVar("Payload", bound=_Payload)


def or_raise(payload: Payload) -> Payload:
    """Returns a mutation's payload, or raises its `UserErrors` if there are any."""
    if payload.user_errors:
        raise UserErrors(payload.user_errors)
    return payload
