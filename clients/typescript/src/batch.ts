import { randomUUID } from "node:crypto";
import { type Listing, line } from "./photos.js";
import type { BatchAnswer } from "./schema.js";
import { mayWorkLater } from "./sending.js";

/** Listings of one part. The service takes 1,000 lines unless it is set otherwise. */
export const PART_LINES = 500;
const PART_BYTES = 32 << 20;

export function newKey(): string {
  return `ts-${randomUUID()}`;
}

/** A part of a batch: its lines, and which of them are answered. */
export class Part {
  readonly lines: string[] = [];
  readonly answered = new Set<number>();
  bytes = 0;

  constructor(readonly key: string) {}

  /** Whether an answer is to be handed on: it is final and has not been handed on yet. */
  isNews(answer: BatchAnswer, lastTry: boolean): boolean {
    const { line, status } = answer;
    if (typeof line !== "number" || this.answered.has(line)) return false;
    if (typeof status === "number" && mayWorkLater(status) && !lastTry) return false;
    this.answered.add(line);
    return true;
  }

  isWhole(): boolean {
    return this.answered.size === this.lines.length;
  }
}

/** Cuts listings into parts. The same listings and key give the same parts. */
export async function* parts(
  listings: Iterable<Listing> | AsyncIterable<Listing>,
  key: string,
  lines: number,
): AsyncGenerator<Part> {
  let number = 0;
  let part = new Part(`${key}/${number}`);
  for await (const listing of listings) {
    const text = await line(listing);
    if (part.lines.length > 0 && (part.lines.length >= lines || part.bytes + text.length > PART_BYTES)) {
      yield part;
      number += 1;
      part = new Part(`${key}/${number}`);
    }
    part.lines.push(text);
    part.bytes += text.length;
  }
  if (part.lines.length > 0) yield part;
}

/** The values of an NDJSON stream. A line that breaks off is left out. */
export async function* values(stream: ReadableStream<Uint8Array>): AsyncGenerator<unknown> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line.trim() !== "") yield JSON.parse(line);
    }
  }
}
