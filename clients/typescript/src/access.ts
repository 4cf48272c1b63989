import { RequestError } from "./errors.js";
import type { AccessCheckInput, AccessDecisionFieldsFragment } from "./generated.js";

/** What somebody may do with a resource. */
export type AccessDecision = AccessDecisionFieldsFragment;

/** The most checks of one request. */
export const CHECKS_PER_REQUEST = 1_000;

type Ask = (checks: AccessCheckInput[]) => Promise<AccessDecision[]>;

interface Waiting {
  check: AccessCheckInput;
  answered: Promise<AccessDecision>;
  resolve: (decision: AccessDecision) => void;
  reject: (error: unknown) => void;
}

/** Gathers the checks of one turn of the event loop into few requests. The same check is asked once. */
export class AccessBatcher {
  readonly #ask: Ask;
  #waiting = new Map<string, Waiting>();

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  check(check: AccessCheckInput): Promise<AccessDecision> {
    const key = identity(check);
    let waiting = this.#waiting.get(key);
    if (waiting === undefined) {
      waiting = pending(check);
      if (this.#waiting.size === 0) {
        // Whatever is ready in this turn has asked by the next one.
        setTimeout(() => this.#flush(), 0);
      }
      this.#waiting.set(key, waiting);
    }
    return waiting.answered;
  }

  #flush(): void {
    const all = [...this.#waiting.values()];
    this.#waiting = new Map();
    for (let from = 0; from < all.length; from += CHECKS_PER_REQUEST) {
      void this.#answer(all.slice(from, from + CHECKS_PER_REQUEST));
    }
  }

  async #answer(batch: Waiting[]): Promise<void> {
    try {
      const decisions = await this.#ask(batch.map(({ check }) => check));
      if (decisions.length !== batch.length) {
        throw new Error(`${batch.length} checks got ${decisions.length} answers`);
      }
      batch.forEach(({ resolve }, index) => resolve(decisions[index] as AccessDecision));
    } catch (error) {
      if (batch.length > 1 && error instanceof RequestError && error.code === "BAD_REQUEST") {
        // One malformed check must not fail the others.
        const middle = batch.length >> 1;
        await Promise.all([this.#answer(batch.slice(0, middle)), this.#answer(batch.slice(middle))]);
      } else {
        batch.forEach(({ reject }) => reject(error));
      }
    }
  }
}

function pending(check: AccessCheckInput): Waiting {
  let resolve!: Waiting["resolve"];
  let reject!: Waiting["reject"];
  const answered = new Promise<AccessDecision>((resolved, rejected) => {
    resolve = resolved;
    reject = rejected;
  });
  return { check, answered, resolve, reject };
}

function identity({ user, resource, atLeast }: AccessCheckInput): string {
  const external = resource.external;
  return JSON.stringify([
    [user.id, user.externalId, user.email, user.username],
    [resource.id, external?.kind, external?.externalId],
    atLeast ?? "VIEW",
  ]);
}
