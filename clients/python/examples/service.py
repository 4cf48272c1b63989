"""A service of a platform, with FastAPI.

It mirrors memberships from the feed, guards its projects by what Rollcall says, and takes webhooks. Start it with
ROLLCALL_URL, ROLLCALL_KEY (scopes EVENTS_READ and ACCESS_CHECK), WEBHOOK_SECRETS, STATE and PORT.
"""

import os
import signal
import threading
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response

from memberships import ACTIONS, Memberships
from rollcall_client import (
    AsyncRollcallClient,
    RollcallClient,
    RollcallError,
    WebhookVerificationError,
    verify_webhook,
)
from rollcall_client.graphql import (
    AccessCheckInput,
    AccessLevel,
    ExternalResourceRef,
    ResourceKind,
    ResourceRef,
    UserRef,
)

URL, KEY = os.environ["ROLLCALL_URL"], os.environ["ROLLCALL_KEY"]
WEBHOOK_SECRETS = os.environ.get("WEBHOOK_SECRETS", "").split()
STATE = os.environ.get("STATE", "memberships.sqlite")

rollcall = AsyncRollcallClient(URL, KEY)
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
    async with rollcall:
        yield
    stopping.set()
    mirroring.join()


app = FastAPI(lifespan=lifespan)


@app.exception_handler(RollcallError)
async def no_answer(_: Request, error: Exception) -> Response:
    """Without an answer from Rollcall, nobody is let in."""
    return Response(f"{type(error).__name__}: {error}", status_code=503)


async def signed_in(x_person: Annotated[str | None, Header()] = None) -> str:
    """Who is signed in. A platform knows it from its own session; here, a header says it."""
    if x_person is None:
        raise HTTPException(401)
    return x_person


async def viewed(project: str, person: Annotated[str, Depends(signed_in)]) -> str:
    """The project, if the person may view it."""
    decision = await rollcall.check_access(
        AccessCheckInput(
            user=UserRef(external_id=person),
            resource=ResourceRef(external=ExternalResourceRef(kind=ResourceKind.PROJECT, external_id=project)),
            at_least=AccessLevel.VIEW,
        )
    )
    if not decision.allowed:
        # Whoever may not know of a project isn't told whether there is one.
        raise HTTPException(404)
    return project


@app.get("/projects/{project}")
async def show(project: Annotated[str, Depends(viewed)], person: Annotated[str, Depends(signed_in)]) -> dict[str, str]:
    return {"project": project, "person": person}


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
