import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import type { BatchLine } from "./schema.js";

/** A file (`pathToFileURL(path)`), a photo's bytes, or a URL from which the service may fetch it. */
export type Photo = Blob | Uint8Array | URL | string;

/** A listing in a batch. */
export type Listing = Omit<BatchLine, "photos"> & { photos: readonly Photo[] };

/** The file to upload, or the URL that the service fetches. */
async function opened(photo: Photo, number: number): Promise<File | string> {
  if (typeof photo === "string") {
    if (!photo.includes("://")) {
      throw new TypeError(`"${photo}" is no URL; give a file as pathToFileURL(path)`);
    }
    return photo;
  }
  if (photo instanceof URL) {
    return photo.protocol === "file:" ? new File([await readFile(photo)], basename(fileURLToPath(photo))) : photo.href;
  }
  return photo instanceof File ? photo : new File([photo], `photo-${number}`);
}

/** A form with these photos and fields. */
export async function form(photos: readonly Photo[], fields: object): Promise<FormData> {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) form.append(name, String(value));
  }
  for (const [number, photo] of photos.entries()) {
    const file = await opened(photo, number);
    form.append(typeof file === "string" ? "photo_url" : "photo", file);
  }
  return form;
}

/** A listing as a line of a batch. */
export async function line(listing: Listing): Promise<string> {
  const photos: BatchLine["photos"] = [];
  for (const [number, photo] of listing.photos.entries()) {
    const file = await opened(photo, number);
    photos.push(
      typeof file === "string"
        ? { photo_url: file }
        : { photo: Buffer.from(await file.arrayBuffer()).toString("base64"), name: file.name },
    );
  }
  return `${JSON.stringify({ ...listing, photos } satisfies BatchLine)}\n`;
}
