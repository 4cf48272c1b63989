import type { JsonObject } from "./json.js";

/**
 * The ids of the people whom an event concerns, by its `metadata`: its `userIds`, which are several where a platform changed
 * several at once, else its `subject`. Empty if it concerns nobody in particular.
 */
export function peopleOf(metadata: JsonObject): string[] {
  const { userIds, subject } = metadata;
  return (Array.isArray(userIds) ? userIds : [subject]).filter((id) => typeof id === "string");
}
