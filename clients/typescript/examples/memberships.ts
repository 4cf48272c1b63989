import { readFile } from "node:fs/promises";
import { type FeedEvent, type JsonValue, peopleOf } from "rollcall-client";
import { writeWhole } from "rollcall-client/file-cursor";

/** The actions that change memberships. */
export const ACTIONS = [
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
];

interface State {
  /** The cursor of the last event that is in `roles`. */
  cursor: string | null;
  /** Roles by organization and person, of active members. */
  roles: Record<string, Record<string, string>>;
}

/** The memberships as the feed tells them, in a file together with the feed's cursor. */
export class Memberships {
  private constructor(
    private readonly path: string,
    private readonly state: State,
  ) {}

  static async open(path: string): Promise<Memberships> {
    try {
      return new Memberships(path, JSON.parse(await readFile(path, "utf8")) as State);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") {
        throw error;
      }
      return new Memberships(path, { cursor: null, roles: {} });
    }
  }

  get cursor(): string | null {
    return this.state.cursor;
  }

  of(organization: string): Record<string, string> {
    return this.state.roles[organization] ?? {};
  }

  /** Takes in a page of events, and keeps it together with its cursor. */
  async apply(events: FeedEvent[], cursor: string): Promise<void> {
    for (const event of events) {
      this.take(event);
    }
    this.state.cursor = cursor;
    await writeWhole(this.path, JSON.stringify(this.state));
  }

  private take({ action, organization, metadata }: FeedEvent): void {
    if (!organization) {
      return;
    }
    const roles = (this.state.roles[organization.id] ??= {});
    const set = (person: JsonValue | undefined, role: JsonValue | undefined) => {
      if (typeof person === "string" && typeof role === "string") {
        roles[person] = role;
      }
    };
    switch (action) {
      case "user.created":
      case "organization.created":
        set(metadata.owner, "owner");
        break;
      case "organization.member_joined":
      case "organization.member_reactivated":
      case "organization.member_role_changed":
        // Several people, where the platform brought them in together.
        peopleOf(metadata).forEach((person) => set(person, metadata.role));
        break;
      case "organization.member_left":
      case "organization.member_removed":
      case "organization.member_deactivated":
        delete roles[String(metadata.subject)];
        break;
      case "organization.owner_set":
      case "organization.ownership_transferred":
        set(metadata.from, "admin");
        set(metadata.to, "owner");
        break;
      case "organization.purged":
        delete this.state.roles[organization.id];
        break;
    }
  }
}
