"""A service of a platform, with FastAPI.

It mirrors memberships from the feed and takes webhooks. Start it with ROLLCALL_URL, ROLLCALL_KEY (scope
EVENTS_READ), WEBHOOK_SECRETS, STATE and PORT.
"""

import os
import signal
import threading
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, HTTPException, Request

from memberships import ACTIONS, Memberships
from rollcall_client import (
    RollcallClient,
    WebhookVerificationError,
    verify_webhook,
)

URL, KEY = os.environ["ROLLCALL_URL"], os.environ["ROLLCALL_KEY"]
WEBHOOK_SECRETS = os.environ.get("WEBHOOK_SECRETS", "").split()
STATE = os.environ.get("STATE", "memberships.sqlite")

stopping = threading.Event()
delivered: dict[str, str] = {}


def mirror() -> None:
    memberships = Memberships(STATE)
    try:
        with RollcallClient(URL, KEY) as client:
            for page in client.event_pages(memberships.cursor(), actions=ACTIONS, stop=stopping):
                memberships.apply(page)
    except Exception:
        traceback.print_exc()
        # Better no service than one whose memberships are out of date.
        os.kill(os.getpid(), signal.SIGTERM)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    mirroring = threading.Thread(target=mirror)
    mirroring.start()
    yield
    stopping.set()
    mirroring.join()


app = FastAPI(lifespan=lifespan)


@app.get("/members/{organization}")
def members(organization: str) -> dict[str, str]:
    return Memberships(STATE).of(organization)


@app.get("/deliveries")
async def deliveries() -> list[str]:
    return list(delivered.values())


@app.post("/webhooks", status_code=204)
async def receive(request: Request) -> None:
    try:
        event = verify_webhook(request.headers, await request.body(), WEBHOOK_SECRETS)
    except WebhookVerificationError as error:
        raise HTTPException(401, str(error)) from error
    # A delivery may come twice.
    delivered[event.data.id] = event.type


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")), log_level="warning")
