from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

import httpx
from pydantic import BaseModel
from pydantic_core import to_json, to_jsonable_python

from .errors import BY_CODE, RequestError, TransportError, code_of

# The service takes at most 30 seconds.
TIMEOUT = 35.0


class RequestOptions(TypedDict, total=False):
    """What may be said of one request."""

    idempotency_key: str
    """For a mutation: 1 to 255 visible ASCII characters. A mutation that is sent again with the same key is done once,
    so that the client can send it again if there was no answer."""
    on_behalf_of: str
    """For whom to act, in this request only: `usr_…`, or `external:` and the platform's own id."""
    repeatable: bool
    """Whether a mutation may be done twice without harm, such as an upsert. Queries always may."""


@dataclass(frozen=True)
class Settings:
    """What all requests of a client have in common."""

    url: str
    key: str | Callable[[], str]
    on_behalf_of: str | None
    retries: int
    longest_wait: float

    def prepare(self, query: str, variables: Mapping[str, object], options: RequestOptions) -> Prepared:
        headers = {
            b"accept": b"application/graphql-response+json",
            b"content-type": b"application/json",
        }
        person = options.get("on_behalf_of", self.on_behalf_of)
        if person is not None:
            headers[b"rollcall-on-behalf-of"] = person.encode()
        idempotency_key = options.get("idempotency_key")
        if idempotency_key is not None:
            if not re.fullmatch(r"[!-~]{1,255}", idempotency_key):
                raise ValueError("idempotency_key must be 1 to 255 visible ASCII characters")
            headers[b"idempotency-key"] = idempotency_key.encode()
        repeatable = "mutation" not in query or idempotency_key is not None or options.get("repeatable", False)
        body = to_json({"query": query, "variables": travelling(variables)})
        return Prepared(self, body, headers, repeatable)


@dataclass(frozen=True)
class Prepared:
    """A request that can be sent, again if need be."""

    settings: Settings
    body: bytes
    _headers: dict[bytes, bytes]
    repeatable: bool

    def headers(self) -> dict[bytes, bytes]:
        key = self.settings.key
        return self._headers | {b"authorization": b"Bearer " + (key if isinstance(key, str) else key()).encode()}

    def interpret(self, response: httpx.Response) -> dict[str, Any] | Failure:
        status = response.status_code
        # Of these two, the service says that nothing was done. Whoever stands before it says nothing about 502 and 504.
        nothing_was_done = status in (429, 503)
        answer = parse(response)
        if answer is None and not nothing_was_done and status != 401:
            error = TransportError(f"an answer with status {status} that isn't GraphQL's", status)
            return Failure(error, self.repeatable and status in (502, 504))
        errors = (answer or {}).get("errors") or []
        data = (answer or {}).get("data")
        if isinstance(data, dict) and not errors and response.is_success:
            return data
        retry_after = (errors[0].get("extensions") or {}).get("retryAfter") if errors else None
        if retry_after is None and re.fullmatch(r"\d+", response.headers.get("retry-after", "")):
            retry_after = float(response.headers["retry-after"])
        kind = BY_CODE.get(code_of(errors, status), RequestError)
        request_id = response.headers.get("x-request-id")
        return Failure(kind(errors, status, retry_after, request_id, data), nothing_was_done)

    def no_answer(self, cause: httpx.TransportError) -> Failure:
        error = TransportError(f"no answer from {self.settings.url}: {cause!r}")
        error.__cause__ = cause
        return Failure(error, self.repeatable)


@dataclass(frozen=True)
class Failure:
    error: RequestError | TransportError
    may_repeat: bool

    def wait(self, settings: Settings, attempt: int) -> float:
        """Returns after how many seconds to try again, or raises the error if that is of no use."""
        asked = self.error.retry_after if isinstance(self.error, RequestError) else None
        wait = backoff(attempt, 10) if asked is None else asked * (1 + random.random() / 10)
        if not self.may_repeat or attempt >= settings.retries or wait > settings.longest_wait:
            raise self.error
        return wait


class Transport:
    """Sends requests, and sends them again where that may help and can't do harm."""

    def __init__(self, settings: Settings, http: httpx.Client) -> None:
        self.settings = settings
        self.http = http

    def request(self, query: str, variables: Mapping[str, object], options: RequestOptions) -> dict[str, Any]:
        prepared = self.settings.prepare(query, variables, options)
        attempt = 0
        while True:
            try:
                # A redirect would carry the key elsewhere.
                response = self.http.post(
                    self.settings.url, content=prepared.body, headers=prepared.headers(), follow_redirects=False
                )
                outcome = prepared.interpret(response)
            except httpx.TransportError as error:
                outcome = prepared.no_answer(error)
            if not isinstance(outcome, Failure):
                return outcome
            time.sleep(outcome.wait(self.settings, attempt))
            attempt += 1


class AsyncTransport:
    """Like `Transport`, for asyncio."""

    def __init__(self, settings: Settings, http: httpx.AsyncClient) -> None:
        self.settings = settings
        self.http = http

    async def request(self, query: str, variables: Mapping[str, object], options: RequestOptions) -> dict[str, Any]:
        prepared = self.settings.prepare(query, variables, options)
        attempt = 0
        while True:
            try:
                response = await self.http.post(
                    self.settings.url, content=prepared.body, headers=prepared.headers(), follow_redirects=False
                )
                outcome = prepared.interpret(response)
            except httpx.TransportError as error:
                outcome = prepared.no_answer(error)
            if not isinstance(outcome, Failure):
                return outcome
            await asyncio.sleep(outcome.wait(self.settings, attempt))
            attempt += 1


def endpoint(url: str) -> str:
    return f"{url.rstrip('/')}/graphql"


def travelling(value: object) -> Any:
    """The value as it travels: what was left out of an input stays out, and None is null."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if isinstance(value, Mapping):
        return {name: travelling(inner) for name, inner in value.items() if not is_unset(inner)}
    if isinstance(value, (list, tuple)):
        return [travelling(inner) for inner in value]
    return to_jsonable_python(value)


def is_unset(value: object) -> bool:
    # That package imports this module.
    from .graphql.base_model import UnsetType  # noqa: PLC0415

    return isinstance(value, UnsetType)


def parse(response: httpx.Response) -> dict[str, Any] | None:
    try:
        answer = response.json()
    except ValueError:
        return None
    is_answer = isinstance(answer, dict) and ("data" in answer or "errors" in answer)
    return answer if is_answer else None


def backoff(attempt: int, longest: float) -> float:
    """A wait in seconds that doubles with each attempt, up to a longest one, so that not everybody comes at once."""
    return float(min(longest, 0.25 * 2 ** min(attempt, 20))) * (0.5 + random.random() / 2)
