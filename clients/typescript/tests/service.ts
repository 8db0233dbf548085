import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath, pathToFileURL } from "node:url";

/** The repository. Compiled tests are in clients/typescript/dist/tests. */
const ROOT = fileURLToPath(new URL("../../../../", import.meta.url));

export function photo(name: string): URL {
  return pathToFileURL(join(ROOT, "demo", "photos", name));
}

/** A touchstone over empty folders. */
export class Service {
  private constructor(
    private readonly process: ChildProcess,
    private readonly folder: string,
    readonly url: string,
    readonly key: string,
  ) {}

  static async start(): Promise<Service> {
    const folder = await mkdtemp(join(tmpdir(), "touchstone-"));
    const program = join(ROOT, "target", "release", "touchstone");
    const settings = [
      "server.listen=127.0.0.1:0",
      "log.filter=error",
      "embed.workers=1",
      `data=${folder}/data`,
      `index_dir=${folder}/index`,
    ];
    const words = settings.flatMap((setting) => ["--set", setting]);
    const child = spawn(program, ["serve", ...words], { cwd: ROOT, stdio: ["ignore", "pipe", "inherit"] });
    const printed = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const key =
      String((await printed.next()).value)
        .split(" ")
        .at(-1) ?? "";
    const url = String((await printed.next()).value).replace("listening on ", "");
    const service = new Service(child, folder, url, key);
    for (let tried = 0; tried < 300 && !(await fetch(`${url}/readyz`)).ok; tried++) await setTimeout(100);
    return service;
  }

  async stop(): Promise<void> {
    const end = once(this.process, "exit");
    this.process.kill();
    await end;
    await rm(this.folder, { recursive: true });
  }
}

export interface Asked {
  url: string;
  headers: IncomingHttpHeaders;
  body: Buffer;
  at: number;
}

export type Answer = (response: ServerResponse) => void;

/** An answer, as `JSON.stringify` writes it, or a text. */
export function says(status: number, body: unknown, headers: Record<string, string> = {}): Answer {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return (response) => response.writeHead(status, { "content-type": "application/json", ...headers }).end(text);
}

/** Sends this much of an answer, then closes the connection. */
export function breaksOff(part = ""): Answer {
  return (response) => {
    if (part === "") {
      response.destroy();
    } else {
      response.writeHead(200, { "content-type": "application/x-ndjson" });
      response.write(part, () => response.destroy());
    }
  };
}

/** A server that gives these answers in turn; `use` gets its URL and the requests so far. */
export async function scripted(answers: Answer[], use: (url: string, asked: Asked[]) => Promise<void>): Promise<void> {
  const asked: Asked[] = [];
  const left = [...answers];
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray());
    asked.push({ url: request.url ?? "", headers: request.headers, body, at: performance.now() });
    (left.shift() ?? says(500, "no answer is left"))(response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}
