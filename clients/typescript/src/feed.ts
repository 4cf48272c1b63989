import { RequestError, TransportError } from "./errors.js";
import type { EventFieldsFragment, EventsQuery, EventsQueryVariables } from "./generated.js";
import { backoff, sleep } from "./transport.js";

/** An event of the feed with its cursor, after which the feed goes on. */
export type FeedEvent = EventFieldsFragment & { cursor: string };

/** A page of the feed; never an empty one. */
export interface EventPage {
  events: FeedEvent[];
  /** The last event's cursor: keep it together with what you did with these events. */
  cursor: string;
}

/** Where a reader keeps the cursor of the last event that it has dealt with. */
export interface CursorStore {
  /** The cursor that was saved last; null before the first one. */
  load(): Promise<string | null>;
  /** Keeps the cursor; it must be safe once this is done. */
  save(cursor: string): Promise<void>;
}

export interface FeedFilter {
  /** Only these actions, such as `organization.member_joined`. */
  actions?: string[] | undefined;
  /** Only one organization's events. */
  organizationId?: string | undefined;
}

export interface FeedOptions extends FeedFilter {
  /** How many events to read at a time, at most 1,000, which is the default. */
  pageSize?: number | undefined;
  /** The longest pause, in milliseconds, while nothing happens or the service can't be reached; 2,000 if omitted. */
  longestPause?: number | undefined;
  /** Ends the reading: the loop over the events then ends by itself. */
  signal?: AbortSignal | undefined;
  /** Whether to end at the last event that there is, rather than to wait for more. */
  untilCaughtUp?: boolean | undefined;
}

type Read = (variables: EventsQueryVariables, signal: AbortSignal | undefined) => Promise<EventsQuery["events"]>;

/** Reads the feed after a cursor, page by page, and goes on for good. */
export async function* readPages(
  read: Read,
  after: string | null,
  options: FeedOptions,
): AsyncGenerator<EventPage, void, undefined> {
  const { actions, organizationId, pageSize = 1_000, longestPause = 2_000, signal, untilCaughtUp = false } = options;
  let cursor = after;
  let idle = 0;
  try {
    while (!signal?.aborted) {
      let page: EventsQuery["events"];
      try {
        page = await read({ after: cursor, first: pageSize, actions, organizationId }, signal);
      } catch (error) {
        if (!isTransient(error)) {
          throw error;
        }
        const asked = error instanceof RequestError ? (error.retryAfter ?? 0) * 1_000 : 0;
        await sleep(Math.max(asked, backoff(idle, longestPause)), signal);
        idle += 1;
        continue;
      }
      const events = page.edges.map(({ cursor, node }) => ({ ...node, cursor }));
      const last = events.at(-1);
      if (last !== undefined) {
        idle = 0;
        yield { events, cursor: last.cursor };
        cursor = last.cursor;
      }
      if (!page.pageInfo.hasNextPage) {
        if (untilCaughtUp) {
          return;
        }
        await sleep(backoff(idle, longestPause), signal);
        idle += 1;
      }
    }
  } catch (error) {
    if (!signal?.aborted) {
      throw error;
    }
  }
}

/** Reads the feed event by event. The cursor is saved when the next event is asked for. */
export async function* followEvents(
  read: Read,
  store: CursorStore,
  options: FeedOptions,
): AsyncGenerator<FeedEvent, void, undefined> {
  for await (const page of readPages(read, await store.load(), options)) {
    for (const event of page.events) {
      yield event;
      await store.save(event.cursor);
      if (options.signal?.aborted) {
        return;
      }
    }
  }
}

function isTransient(error: unknown): boolean {
  return (
    error instanceof TransportError || (error instanceof RequestError && [429, 502, 503, 504].includes(error.status))
  );
}
