"""Upserts of any number of items, in batches that the service takes."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel

from ._transport import travelling
from .errors import UserErrors
from .graphql.fragments import UserErrorFields

# A request may have 1 MB and 20,000 values in its variables, and a long text counts as one value for each 256 bytes.
# There is something around the items, too.
LARGEST_BODY = 900_000
MOST_VALUES = 19_000

Item = TypeVar("Item", bound=BaseModel)
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)


@dataclass(frozen=True)
class UpsertBatch(Generic[Result]):
    """What became of one batch, which is done as a whole or not at all."""

    offset: int
    """The place of the batch's first item among all items."""
    results: list[Result]
    """One for each item, in the same order."""


class UpsertError(UserErrors):
    """A batch was refused. Nothing of it was changed; the batches before it stay."""

    def __init__(self, user_errors: Sequence[UserErrorFields], offset: int, size: int) -> None:
        super().__init__([shifted(error, offset) for error in user_errors])
        self.offset = offset
        """The place of the batch's first item among all items."""
        self.size = size
        """How many items the batch has."""


class UpsertPayload(Protocol[Result_co]):
    @property
    def results(self) -> Sequence[Result_co] | None: ...

    @property
    def user_errors(self) -> Sequence[UserErrorFields]: ...


@dataclass(frozen=True)
class Batch(Generic[Item]):
    offset: int
    items: list[Item]

    def outcome(self, payload: UpsertPayload[Result]) -> UpsertBatch[Result]:
        if payload.user_errors or payload.results is None:
            raise UpsertError(payload.user_errors, self.offset, len(self.items))
        return UpsertBatch(self.offset, list(payload.results))


class Batcher(Generic[Item]):
    """Makes batches of what it takes, item by item."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._offset, self._size, self._values = 0, 0, 0
        self._items: list[Item] = []

    def take(self, item: Item) -> Batch[Item] | None:
        """The batch of the items before this one, if it is full."""
        size = len(item.model_dump_json(by_alias=True, exclude_unset=True).encode()) + 1
        values = count_values(travelling(item))
        is_full = (
            len(self._items) == self._largest or self._size + size > LARGEST_BODY or self._values + values > MOST_VALUES
        )
        batch = self.rest() if is_full else None
        self._items.append(item)
        self._size += size
        self._values += values
        return batch

    def rest(self) -> Batch[Item] | None:
        """The batch of the items that it has, if there are any."""
        if not self._items:
            return None
        batch = Batch(self._offset, self._items)
        self._offset += len(self._items)
        self._items, self._size, self._values = [], 0, 0
        return batch


def batches(items: Iterable[Item], largest: int) -> Iterator[Batch[Item]]:
    batcher = Batcher[Item](largest)
    for item in items:
        if batch := batcher.take(item):
            yield batch
    if batch := batcher.rest():
        yield batch


async def async_batches(items: Iterable[Item] | AsyncIterable[Item], largest: int) -> AsyncIterator[Batch[Item]]:
    if not isinstance(items, AsyncIterable):
        for batch in batches(items, largest):
            yield batch
        return
    batcher = Batcher[Item](largest)
    async for item in items:
        if full := batcher.take(item):
            yield full
    if rest := batcher.rest():
        yield rest


def count_values(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(map(count_values, value.values()))
    if isinstance(value, list):
        return 1 + sum(map(count_values, value))
    if isinstance(value, str):
        return 1 + len(value.encode()) // 256
    return 1


def shifted(error: UserErrorFields, offset: int) -> UserErrorFields:
    """The error with the item's place among all items: `["input", "users", "3", "email"]`."""
    field = list(error.field)
    if len(field) > 2 and field[2].isdigit():
        field[2] = str(int(field[2]) + offset)
    return error.model_copy(update={"field": field})
