export { type AccessDecision, CHECKS_PER_REQUEST } from "./access.js";
export * from "./client.js";
export * from "./errors.js";
export type { CursorStore, EventPage, FeedEvent, FeedFilter, FeedOptions } from "./feed.js";
export * from "./generated.js";
export type { JsonObject, JsonValue } from "./json.js";
export { peopleOf } from "./people.js";
export type { ClientOptions, RequestOptions, TypedDocument } from "./transport.js";
export { type UpsertBatch, UpsertError } from "./upserts.js";
