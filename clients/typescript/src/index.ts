/** Client of touchstone, the counterfeit detector for marketplaces. */
export { type BatchOptions, Client, type Options } from "./client.js";
export { Problem, TouchstoneError, Unreachable } from "./errors.js";
export type { Listing, Photo } from "./photos.js";
export type * from "./schema.js";
export type { Retries } from "./sending.js";
