import { UserErrors } from "./errors.js";
import type { UserErrorFieldsFragment } from "./generated.js";

/** What became of one batch of an upsert, which is done as a whole or not at all. */
export interface UpsertBatch<Result> {
  /** The place of the batch's first item among all items. */
  offset: number;
  /** One for each item, in the same order. */
  results: Result[];
}

/** A batch was refused. Nothing of it was changed; the batches before it stay. */
export class UpsertError extends UserErrors {
  constructor(
    userErrors: readonly UserErrorFieldsFragment[],
    /** The place of the batch's first item among all items. */
    readonly offset: number,
    /** How many items the batch has. */
    readonly size: number,
  ) {
    super(userErrors);
  }
}

interface UpsertPayload<Result> {
  results: Result[] | null;
  userErrors: UserErrorFieldsFragment[];
}

// A request may have 1 MB and 20,000 values in its variables, and a long text counts as one value for each 256 bytes.
// There is something around the items, too.
const LARGEST_BODY = 900_000;
const MOST_VALUES = 19_000;

const utf8 = new TextEncoder();

/** Sends items in batches that the service takes, one after the other, and yields what became of each batch. */
export async function* upsert<Item, Result>(
  items: Iterable<Item> | AsyncIterable<Item>,
  largestBatch: number,
  send: (batch: Item[]) => Promise<UpsertPayload<Result>>,
): AsyncGenerator<UpsertBatch<Result>, void, undefined> {
  let offset = 0;
  for await (const batch of batches(items, largestBatch)) {
    const { results, userErrors } = await send(batch);
    if (userErrors.length > 0 || results === null) {
      throw new UpsertError(
        userErrors.map((error) => shifted(error, offset)),
        offset,
        batch.length,
      );
    }
    yield { offset, results };
    offset += batch.length;
  }
}

async function* batches<Item>(items: Iterable<Item> | AsyncIterable<Item>, largest: number): AsyncGenerator<Item[]> {
  let batch: Item[] = [];
  let size = 0;
  let values = 0;
  for await (const item of items) {
    const itemSize = utf8.encode(JSON.stringify(item)).length + 1;
    const itemValues = countValues(item);
    if (
      batch.length === largest ||
      (batch.length > 0 && (size + itemSize > LARGEST_BODY || values + itemValues > MOST_VALUES))
    ) {
      yield batch;
      [batch, size, values] = [[], 0, 0];
    }
    batch.push(item);
    size += itemSize;
    values += itemValues;
  }
  if (batch.length > 0) {
    yield batch;
  }
}

function countValues(value: unknown): number {
  if (typeof value === "string") {
    return 1 + (utf8.encode(value).length >> 8);
  }
  if (typeof value !== "object" || value === null) {
    return 1;
  }
  return Object.values(value).reduce((sum: number, inner) => sum + countValues(inner), 1);
}

/** The error with the item's place among all items: `["input", "users", "3", "email"]`. */
function shifted(error: UserErrorFieldsFragment, offset: number): UserErrorFieldsFragment {
  const field = error.field.map((part, index) =>
    index === 2 && /^\d+$/.test(part) ? String(Number(part) + offset) : part,
  );
  return { ...error, field };
}
