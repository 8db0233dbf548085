import type { Problem as Body } from "./schema.js";

/** Everything that goes wrong between the client and the service. */
export class TouchstoneError extends Error {
  override name = "TouchstoneError";
}

/** The service did not answer, or not completely, however often it was asked. */
export class Unreachable extends TouchstoneError {
  override name = "Unreachable";
}

/** The service rejected a request and said why. */
export class Problem extends TouchstoneError {
  override name = "Problem";
  /** Stable kebab-case code. `no-problem-json` means that something between client and service answered. */
  readonly code: string;
  /** What was wrong, what was expected, what to do. */
  readonly detail: string;
  readonly status: number;
  /** Number of the photo at fault, from 0. */
  readonly photo: number | undefined;
  /** Seconds after which to try again, if the service named a time. */
  readonly retryAfter: number | undefined;

  constructor(body: Partial<Body> & Pick<Body, "code" | "detail" | "status">) {
    super(`${body.code}: ${body.detail}`);
    this.code = body.code;
    this.detail = body.detail;
    this.status = body.status;
    this.photo = body.photo ?? undefined;
    this.retryAfter = body.retry_after ?? undefined;
  }

  /** Reads a response that is no success. */
  static async from(response: Response): Promise<Problem> {
    const { status } = response;
    const text = await response.text();
    const asked = Number.parseFloat(response.headers.get("retry-after") ?? "");
    const retry = Number.isFinite(asked) ? { retry_after: asked } : {};
    try {
      const body: unknown = JSON.parse(text);
      if (typeof body === "object" && body !== null && "code" in body && "detail" in body) {
        return new Problem({ ...retry, ...(body as Body), status });
      }
    } catch {
      // A proxy answered, which knows nothing of problems.
    }
    return new Problem({ ...retry, code: "no-problem-json", detail: text.slice(0, 200), status });
  }
}
