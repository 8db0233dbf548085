import { setTimeout } from "node:timers/promises";
import { Problem, Unreachable } from "./errors.js";

/** How often a request is sent, and how long the client waits in between. */
export interface Retries {
  /** All tries; 1 means never again. */
  tries: number;
  /** Milliseconds before the second try; they double with each try. */
  firstWaitMs: number;
  /** The longest wait in milliseconds, unless the service asks for more. */
  longestWaitMs: number;
}

export const RETRIES: Retries = { tries: 5, firstWaitMs: 500, longestWaitMs: 30_000 };

/** A later try may succeed. With 429 and 503 the service rejected the request before it did anything. */
const LATER = new Set([429, 502, 503, 504]);
const UNTOUCHED = new Set([429, 503]);

export function mayWorkLater(status: number): boolean {
  return LATER.has(status);
}

/** Waits after so many tries. Part of the wait is random, so that clients do not come back together. */
export async function pause(retries: Retries, tried: number, error: unknown): Promise<void> {
  const wait = Math.min(retries.firstWaitMs * 2 ** (tried - 1), retries.longestWaitMs) * (0.5 + Math.random() / 2);
  const asked = error instanceof Problem ? (error.retryAfter ?? 0) * 1000 : 0;
  await setTimeout(Math.max(wait, asked));
}

/** Whether a request may be sent again after the service may have done it: a second time changes nothing more. */
function isRepeatable(request: Request): boolean {
  return (
    request.method !== "POST" ||
    request.headers.has("idempotency-key") ||
    /\/(lookups|references)$/.test(new URL(request.url).pathname)
  );
}

/** A `fetch` that sends requests again, and throws a {@link Problem} or {@link Unreachable} for all that is no success. */
export function sender(retries: Retries, timeoutMs: number): (request: Request) => Promise<Response> {
  return async (request) => {
    const { method, headers, url } = request;
    const body = request.body === null ? null : await request.arrayBuffer();
    for (let tried = 1; ; tried++) {
      let failure: Problem | Unreachable;
      let again: boolean;
      try {
        const response = await fetch(url, { method, headers, body, signal: AbortSignal.timeout(timeoutMs) });
        if (response.ok) {
          // Read here, so that an answer that breaks off is asked for again.
          const answer = response.status === 204 ? null : await response.arrayBuffer();
          return new Response(answer, response);
        }
        failure = await Problem.from(response);
        again = mayWorkLater(response.status) && (isRepeatable(request) || UNTOUCHED.has(response.status));
      } catch (error) {
        failure = new Unreachable(`${new URL(url).origin} cannot be reached: ${reason(error)}`, { cause: error });
        again = isRepeatable(request);
      }
      if (!again || tried >= retries.tries) throw failure;
      await pause(retries, tried, failure);
    }
  };
}

/** `fetch` hides the reason in the error's cause. */
export function reason(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message || cause.name : String(cause);
}
