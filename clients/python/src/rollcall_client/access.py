"""Checks of access, gathered into few requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from .errors import BadRequest
from .graphql.fragments import AccessDecisionFields
from .graphql.input_types import AccessCheckInput

CHECKS_PER_REQUEST = 1_000
"""The most checks of one request."""

AccessDecision = AccessDecisionFields
"""What somebody may do with a resource."""


def identity(check: AccessCheckInput) -> str:
    level = check.at_least.value if check.at_least else "VIEW"
    return f"{check.user.model_dump_json()} {check.resource.model_dump_json()} {level}"


def parts(checks: Iterable[AccessCheckInput]) -> list[dict[str, AccessCheckInput]]:
    """Each check once, by its identity, in parts of at most 1,000."""
    all_checks = list({identity(check): check for check in checks}.items())
    return [
        dict(all_checks[start : start + CHECKS_PER_REQUEST]) for start in range(0, len(all_checks), CHECKS_PER_REQUEST)
    ]


class AccessBatcher:
    """Gathers the checks of one turn of the event loop. The same check is asked once."""

    def __init__(self, ask: Callable[[list[AccessCheckInput]], Awaitable[Sequence[AccessDecision]]]) -> None:
        self._ask = ask
        self._waiting: dict[str, tuple[AccessCheckInput, asyncio.Future[AccessDecision]]] = {}
        self._asking: set[asyncio.Task[None]] = set()

    async def check(self, check: AccessCheckInput) -> AccessDecision:
        loop = asyncio.get_running_loop()
        key = identity(check)
        if key not in self._waiting:
            if not self._waiting:
                # Whatever is ready in this turn has asked by the next one.
                loop.call_later(0, self._flush)
            self._waiting[key] = (check, loop.create_future())
        # Whoever is cancelled leaves the others their answer.
        return await asyncio.shield(self._waiting[key][1])

    def _flush(self) -> None:
        waiting = list(self._waiting.values())
        self._waiting = {}
        for start in range(0, len(waiting), CHECKS_PER_REQUEST):
            task = asyncio.ensure_future(self._answer(waiting[start : start + CHECKS_PER_REQUEST]))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _answer(self, batch: list[tuple[AccessCheckInput, asyncio.Future[AccessDecision]]]) -> None:
        try:
            decisions = await self._ask([check for check, _ in batch])
            for (_, future), decision in zip(batch, decisions, strict=True):
                future.set_result(decision)
        except BadRequest as error:
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            # One malformed check must not fail the others.
            middle = len(batch) // 2
            await asyncio.gather(self._answer(batch[:middle]), self._answer(batch[middle:]))
        except BaseException as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            if not isinstance(error, Exception):
                raise
