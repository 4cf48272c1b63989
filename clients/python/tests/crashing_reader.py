"""Reads the feed event by event and notes what it has done. It is killed at the event that is named, when the event is
done and its cursor isn't saved."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from rollcall_client import AsyncRollcallClient, FileCursor, RollcallClient

mode, url, key, organization, cursor, notes, last = sys.argv[1:]
store = FileCursor(cursor)
count = 0


def note(sequence: int) -> None:
    global count  # noqa: PLW0603
    with Path(notes).open("a") as file:
        file.write(f"{sequence}\n")
    count += 1
    if count == int(last):
        os.kill(os.getpid(), signal.SIGKILL)


async def read() -> None:
    async with AsyncRollcallClient(url, key) as client:
        async for event in client.follow(store, organization_id=organization, page_size=4, until_caught_up=True):
            note(event.sequence)


if mode == "async":
    asyncio.run(read())
else:
    with RollcallClient(url, key) as client:
        for event in client.follow(store, organization_id=organization, page_size=4, until_caught_up=True):
            note(event.sequence)
