import createClient, { type Client as Api } from "openapi-fetch";
import { newKey, PART_LINES, type Part, parts, values } from "./batch.js";
import { Problem, TouchstoneError, Unreachable } from "./errors.js";
import { form, type Listing, type Photo } from "./photos.js";
import type {
  BatchAnswer,
  CheckAnswer,
  Match,
  operations,
  paths,
  ReferenceBody,
  ReferencePage,
  ReferencePatch,
} from "./schema.js";
import { mayWorkLater, pause, RETRIES, type Retries, reason, sender } from "./sending.js";

/** The form of an operation, without its photos. */
type Fields<Operation extends "create_check" | "create_lookup" | "create_reference"> = Omit<
  operations[Operation]["requestBody"]["content"]["multipart/form-data"],
  "photo" | "photo_url"
>;

type ReferenceFilter = Omit<NonNullable<operations["list_references"]["parameters"]["query"]>, "after">;

export interface Options {
  /** Milliseconds after which a try ends; 60,000 by default. It does not apply to batches. */
  timeoutMs?: number;
  retries?: Partial<Retries>;
}

export interface BatchOptions {
  /** Names the batch, so that the same call resumes it. */
  key?: string;
  /** Most listings in one request. */
  lines?: number;
}

/** Calls a service. Methods throw a {@link Problem} or {@link Unreachable}. */
export class Client {
  /** All routes, typed, with the same key, retries and errors. */
  readonly api: Api<paths>;
  readonly #url: string;
  readonly #key: { authorization: string };
  readonly #retries: Retries;
  readonly #timeoutMs: number;

  /** Does not connect yet. */
  constructor(url: string, key: string, { timeoutMs = 60_000, retries = {} }: Options = {}) {
    this.#url = url.replace(/\/+$/, "");
    this.#key = { authorization: `Bearer ${key}` };
    this.#retries = { ...RETRIES, ...retries };
    this.#timeoutMs = timeoutMs;
    const fetch = sender(this.#retries, timeoutMs);
    this.api = createClient<paths>({ baseUrl: this.#url, headers: this.#key, fetch });
  }

  /** Checks a listing's photos. The same key and content get the same answer. */
  async check(
    photos: readonly Photo[],
    fields: Fields<"create_check"> = {},
    idempotencyKey = newKey(),
  ): Promise<CheckAnswer> {
    const body = await form(photos, fields);
    const params = { header: { "Idempotency-Key": idempotencyKey } };
    return content(await this.api.POST("/v1/checks", { params, body: fields, bodySerializer: () => body }));
  }

  /** Checks many listings and hands on each answer as soon as it is there. Parts that break off are sent again. */
  async *checkBatch(
    listings: Iterable<Listing> | AsyncIterable<Listing>,
    { key = newKey(), lines = PART_LINES }: BatchOptions = {},
  ): AsyncGenerator<BatchAnswer, void, undefined> {
    const { tries } = this.#retries;
    for await (const part of parts(listings, key, lines)) {
      for (let tried = 1; !part.isWhole(); tried++) {
        let failure: TouchstoneError = new Unreachable(
          `the batch broke off after ${part.answered.size} of ${part.lines.length} listings`,
        );
        try {
          for await (const answer of this.#answers(part)) {
            if (part.isNews(answer, tried === tries)) yield answer;
          }
        } catch (error) {
          if (error instanceof Problem && !mayWorkLater(error.status)) throw error;
          failure = error instanceof TouchstoneError ? error : new Unreachable(reason(error), { cause: error });
        }
        if (part.isWhole()) break;
        if (tried >= tries) throw failure;
        await pause(this.#retries, tried, failure);
      }
    }
  }

  /** The stored answer to a check. */
  async getCheck(id: string): Promise<CheckAnswer> {
    return content(await this.api.GET("/v1/checks/{id}", { params: { path: { id } } }));
  }

  /** The references most similar to a photo, nearest first. */
  async lookup(photo: Photo, fields: Fields<"create_lookup"> = {}): Promise<Match[]> {
    const body = await form([photo], fields);
    return content(await this.api.POST("/v1/lookups", { body: fields, bodySerializer: () => body })).matches;
  }

  /** Adds a reference, or returns the stored one if the brand already has this photo. */
  async addReference(brand: string, photo: Photo, fields: Fields<"create_reference">): Promise<ReferenceBody> {
    const body = await form([photo], fields);
    const params = { path: { brand } };
    return content(
      await this.api.POST("/v1/brands/{brand}/references", { params, body: fields, bodySerializer: () => body }),
    );
  }

  /** All of a brand's references, fetched page by page. */
  async *references(brand: string, filter: ReferenceFilter = {}): AsyncGenerator<ReferenceBody, void, undefined> {
    let next: ReferencePage["next"];
    do {
      const query = typeof next === "number" ? { ...filter, after: next } : filter;
      const params = { path: { brand }, query };
      const page: ReferencePage = content(await this.api.GET("/v1/brands/{brand}/references", { params }));
      yield* page.references;
      next = page.next;
    } while (typeof next === "number");
  }

  /** Changes a reference. Absent fields stay; null clears. */
  async updateReference(brand: string, id: string, changes: ReferencePatch): Promise<ReferenceBody> {
    const params = { path: { brand, id } };
    return content(await this.api.PATCH("/v1/brands/{brand}/references/{id}", { params, body: changes }));
  }

  /** Deletes a reference. */
  async deleteReference(brand: string, id: string): Promise<void> {
    await this.api.DELETE("/v1/brands/{brand}/references/{id}", { params: { path: { brand, id } } });
  }

  /** Whether checks can be trusted now. Asks once. */
  async isReady(): Promise<boolean> {
    try {
      return (await fetch(`${this.#url}/readyz`, { signal: AbortSignal.timeout(this.#timeoutMs) })).ok;
    } catch {
      return false;
    }
  }

  /** Sends a part once. Lines that were answered before cost the service nothing. */
  async *#answers(part: Part): AsyncGenerator<BatchAnswer> {
    const headers = { ...this.#key, "content-type": "application/x-ndjson", "idempotency-key": part.key };
    const response = await fetch(`${this.#url}/v1/checks:batch`, {
      method: "POST",
      headers,
      body: part.lines.join(""),
    });
    if (!response.ok || response.body === null) throw await Problem.from(response);
    for await (const answer of values(response.body)) yield answer as BatchAnswer;
  }
}

/** What a route answered; `fetch` has thrown everything that is no success. */
function content<T>(answer: { data?: T }): T {
  return answer.data as T;
}
