import type { UserErrorFieldsFragment } from "./generated.js";

/** What anything that this client throws for a request is an instance of. */
export abstract class RollcallError extends Error {
  override get name(): string {
    return this.constructor.name;
  }
}

/** The code of a refused request. Later versions of the service may have more of them. */
export type ErrorCode =
  | "UNAUTHENTICATED"
  | "FORBIDDEN"
  | "NOT_FOUND"
  | "BAD_REQUEST"
  | "RATE_LIMITED"
  | "UNAVAILABLE"
  | "INTERNAL"
  | (string & {});

/** A top-level error of an answer, as GraphQL has it. */
export interface GraphQLError {
  message: string;
  path?: (string | number)[];
  extensions?: { code?: string; retryAfter?: number; [key: string]: unknown };
}

/** The service refused the request, or could not answer all of it. */
export class RequestError extends RollcallError {
  constructor(
    /** All errors of the answer; `code` and the message are the first one's. */
    readonly errors: readonly GraphQLError[],
    /** The HTTP status. */
    readonly status: number,
    /** After how many seconds to try again, where the service says so. */
    readonly retryAfter: number | undefined,
    /** The request's id, to look for in the service's log. */
    readonly requestId: string | undefined,
    /** What could be answered nevertheless. */
    readonly data: unknown,
  ) {
    super(errors[0]?.message ?? `HTTP status ${status}`);
  }

  get code(): ErrorCode {
    return this.errors[0]?.extensions?.code ?? codeOf(this.status);
  }
}

/** There was no answer, or none of the service's. A mutation may or may not have been done. */
export class TransportError extends RollcallError {
  constructor(
    message: string,
    /** The HTTP status, where there was one. */
    readonly status?: number,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** A mutation's `userErrors`, thrown by {@link orThrow} and by the upserts. Nothing was changed. */
export class UserErrors extends RollcallError {
  constructor(readonly userErrors: readonly UserErrorFieldsFragment[]) {
    super(
      userErrors
        .map(({ code, field, message }) => `${code} on ${field.join(".") || "the request"}: ${message}`)
        .join("; "),
    );
  }
}

/** Returns a mutation's payload, or throws its {@link UserErrors} if there are any. */
export function orThrow<T extends { userErrors: readonly UserErrorFieldsFragment[] }>(payload: T): T {
  if (payload.userErrors.length > 0) {
    throw new UserErrors(payload.userErrors);
  }
  return payload;
}

function codeOf(status: number): ErrorCode {
  switch (status) {
    case 401:
      return "UNAUTHENTICATED";
    case 429:
      return "RATE_LIMITED";
    case 503:
      return "UNAVAILABLE";
    default:
      return status < 500 ? "BAD_REQUEST" : "INTERNAL";
  }
}
