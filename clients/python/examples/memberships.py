"""The memberships as the feed tells them, in SQLite together with the feed's cursor."""

import sqlite3
from pathlib import Path

from rollcall_client import EventPage, FeedEvent, people_of

ACTIONS = [
    "user.created",
    "organization.created",
    "organization.purged",
    "organization.member_joined",
    "organization.member_reactivated",
    "organization.member_role_changed",
    "organization.member_left",
    "organization.member_removed",
    "organization.member_deactivated",
    "organization.owner_set",
    "organization.ownership_transferred",
]
"""The actions that change memberships."""

TABLES = """
    CREATE TABLE IF NOT EXISTS memberships (
        organization TEXT, person TEXT, role TEXT NOT NULL, PRIMARY KEY (organization, person)
    );
    CREATE TABLE IF NOT EXISTS feed (only INTEGER PRIMARY KEY CHECK (only = 1), cursor TEXT NOT NULL);
"""


class Memberships:
    """The active members of each organization. An object belongs to one thread; each has its own."""

    def __init__(self, path: str | Path) -> None:
        self.database = sqlite3.connect(path)
        self.database.execute("PRAGMA journal_mode = WAL")
        self.database.executescript(TABLES)

    def cursor(self) -> str | None:
        row = self.database.execute("SELECT cursor FROM feed").fetchone()
        return row[0] if row else None

    def of(self, organization: str) -> dict[str, str]:
        query = "SELECT person, role FROM memberships WHERE organization = ?"
        return dict(self.database.execute(query, [organization]).fetchall())

    def apply(self, page: EventPage) -> None:
        """Takes in a page of events and its cursor, in one transaction."""
        with self.database:
            for event in page.events:
                if event.organization:
                    self._take(event, event.organization.id)
            self.database.execute("INSERT OR REPLACE INTO feed VALUES (1, ?)", [page.cursor])

    def _take(self, event: FeedEvent, organization: str) -> None:
        metadata = event.metadata
        match event.action:
            case "user.created" | "organization.created":
                self._set(organization, metadata["owner"], "owner")
            case "organization.member_joined" | "organization.member_reactivated" | "organization.member_role_changed":
                # Several people, where the platform brought them in together.
                for person in people_of(metadata):
                    self._set(organization, person, metadata["role"])
            case "organization.member_left" | "organization.member_removed" | "organization.member_deactivated":
                end = "DELETE FROM memberships WHERE organization = ? AND person = ?"
                self.database.execute(end, [organization, metadata["subject"]])
            case "organization.owner_set" | "organization.ownership_transferred":
                self._set(organization, metadata["from"], "admin")
                self._set(organization, metadata["to"], "owner")
            case "organization.purged":
                self.database.execute("DELETE FROM memberships WHERE organization = ?", [organization])

    def _set(self, organization: str, person: str, role: str) -> None:
        self.database.execute("INSERT OR REPLACE INTO memberships VALUES (?, ?, ?)", [organization, person, role])
