import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { type BatchAnswer, Client, type Listing, Problem, Unreachable } from "../src/index.js";
import { type Answer, breaksOff, photo, Service, says, scripted } from "./service.js";

const PDF = Buffer.from("%PDF-1.7");
const RETRIES = { tries: 4, firstWaitMs: 10, longestWaitMs: 20 };

let service: Service;
let client: Client;
before(async () => {
  service = await Service.start();
  client = new Client(`${service.url}/`, service.key);
});
after(() => service.stop());

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

function isProblem(expected: Partial<Problem>): (error: unknown) => boolean {
  return (error) => {
    assert(error instanceof Problem, String(error));
    assert.deepEqual({ ...error, ...expected }, { ...error });
    return true;
  };
}

test("a brand's fake is found, and everything about it can be asked", async () => {
  const fake = await client.addReference("acme", photo("coins.png"), { polarity: "fake", product: "coins" });
  const bytes = await readFile(photo("coins.png"));
  assert.equal((await client.addReference("acme", bytes, { polarity: "fake" })).id, fake.id);
  const other = await client.addReference("acme", photo("chelsea.png"), { polarity: "authentic" });

  const check = await client.check([new Blob([await readFile(photo("coffee.png"))]), photo("coins.png")], {
    seller_id: "S1",
    listing_id: "L1",
  });
  assert.deepEqual([check.verdict, check.action], ["known_fake_match", "review"]);
  assert.deepEqual([check.listing.seller_id, check.listing.listing_id], ["S1", "L1"]);
  assert.deepEqual(
    check.photos.map(({ name }) => name),
    ["photo-0", "coins.png"],
  );
  assert.deepEqual(await client.getCheck(check.id), check);

  const matches = await client.lookup(photo("coins.png"), { k: 1 });
  assert.deepEqual(
    matches.map(({ reference_id }) => reference_id),
    [fake.id],
  );
  assert.equal((await client.updateReference("acme", fake.id, { notes: "seen in May" })).notes, "seen in May");
  const pages = await all(client.references("acme", { limit: 1 }));
  assert.deepEqual(
    pages.map(({ id }) => id),
    [fake.id, other.id],
  );
  assert.deepEqual(await all(client.references("acme", { polarity: "fake", product: "hats" })), []);

  const { data } = await client.api.GET("/v1/index");
  assert.equal(data?.references, 2);
  assert(await client.isReady());
  for (const { id } of pages) await client.deleteReference("acme", id);
  assert.deepEqual(await all(client.references("acme")), []);
});

test("problems are errors with their code", async () => {
  await assert.rejects(
    client.check([photo("coffee.png"), PDF]),
    isProblem({ code: "photo-type-unsupported", status: 415, photo: 1 }),
  );
  await assert.rejects(client.check(["https://img.example.com/1.jpg"]), isProblem({ code: "photo-url-off" }));
  await assert.rejects(client.check(["coffee.png"]), /"coffee.png" is no URL/);
  await assert.rejects(client.getCheck("chk_/../x"), isProblem({ code: "not-found", status: 404 }));
  const stranger = new Client(service.url, "tsk_wrong");
  await assert.rejects(stranger.lookup(photo("coffee.png")), isProblem({ code: "key-unknown", status: 401 }));
});

test("the same key gets the same answer", async () => {
  const first = await client.check([photo("coffee.png")], {}, "once");
  assert.deepEqual(await client.check([photo("coffee.png")], {}, "once"), first);
  await assert.rejects(client.check([photo("rocket.jpg")], {}, "once"), isProblem({ code: "idempotency-key-reused" }));
});

test("a batch in parts is answered line by line, and the same again", async () => {
  async function* listings(): AsyncGenerator<Listing> {
    for (const name of ["coffee.png", "chelsea.png", "rocket.jpg"]) {
      yield { id: name, photos: [photo(name)], seller_id: "S1" };
    }
    yield { id: "wrong", photos: [PDF] };
  }
  async function run(): Promise<Map<unknown, BatchAnswer>> {
    const answers = await all(client.checkBatch(listings(), { key: "monday", lines: 2 }));
    assert.equal(answers.length, 4);
    return new Map(answers.map((answer) => [answer.id, answer]));
  }
  const first = await run();
  assert.deepEqual([...first].map(([id, { status }]) => `${id} ${status}`).sort(), [
    "chelsea.png 200",
    "coffee.png 200",
    "rocket.jpg 200",
    "wrong 415",
  ]);
  assert.equal(first.get("wrong")?.problem?.code, "photo-type-unsupported");
  const again = (await run()).get("coffee.png");
  assert.equal(again?.replayed, true);
  assert.deepEqual(again?.check, first.get("coffee.png")?.check);
});

const BUSY = says(429, { code: "busy", status: 429, detail: "" });
const DONE = says(200, { id: "chk_1" });

test("a request that may work later is sent again with the same key", async () => {
  await scripted([BUSY, breaksOff(), says(503, "proxy"), breaksOff('{"id":'), DONE], async (url, asked) => {
    const patient = new Client(url, "k", { retries: { ...RETRIES, tries: 5 } });
    assert.equal((await patient.check([PDF], { seller_id: "S1" })).id, "chk_1");
    assert.equal(asked.length, 5);
    assert.equal(new Set(asked.map(({ headers }) => headers["idempotency-key"])).size, 1);
    assert.equal(new Set(asked.map(({ body }) => body.toString())).size, 1);
  });
  await scripted([BUSY, BUSY, BUSY, BUSY, BUSY], async (url, asked) => {
    await assert.rejects(new Client(url, "k", { retries: RETRIES }).check([PDF]), isProblem({ code: "busy" }));
    assert.equal(asked.length, 4);
  });
});

test("the client waits as long as the service asks", async () => {
  const header = says(503, "proxy", { "retry-after": "1" });
  const body = says(429, { code: "busy", status: 429, detail: "", retry_after: 1 });
  await scripted([header, body, DONE], async (url, asked) => {
    await new Client(url, "k", { retries: RETRIES }).check([PDF]);
    const [first, second, third] = asked.map(({ at }) => at) as [number, number, number];
    assert(second - first > 990 && third - second > 990, `${second - first} ms, ${third - second} ms`);
  });
});

test("a request that may not be done twice is not sent twice", async () => {
  const empty = says(422, { code: "photo-empty", status: 422, detail: "" });
  await scripted([empty], async (url, asked) => {
    await assert.rejects(new Client(url, "k", { retries: RETRIES }).check([PDF]), isProblem({ code: "photo-empty" }));
    assert.equal(asked.length, 1);
  });
  // The service may have stored the appeal.
  await scripted([BUSY, breaksOff(), DONE], async (url, asked) => {
    const { api } = new Client(url, "k", { retries: RETRIES });
    const params = { path: { id: "chk_1" } };
    await assert.rejects(api.POST("/v1/checks/{id}/appeals", { params, body: { text: "It is mine" } }), Unreachable);
    assert.equal(asked.length, 2);
  });
});

test("a try that takes too long ends", async () => {
  const never: Answer = () => {};
  // More answers than one, for a machine that is busy.
  await scripted([never, DONE, DONE, DONE], async (url, asked) => {
    assert.equal((await new Client(url, "k", { retries: RETRIES, timeoutMs: 1000 }).getCheck("chk_1")).id, "chk_1");
    assert(asked.length > 1);
  });
});

test("each answer of a batch comes as soon as it is there", async () => {
  let finish = (): unknown => assert.fail("the server has not begun");
  const slow: Answer = (response) => {
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    response.write('{"line": 1, "status": 200}\n{"line"');
    finish = () => response.end(': 2, "status": 200}\n');
  };
  await scripted([slow], async (url) => {
    const answers = new Client(url, "k").checkBatch([{ photos: [PDF] }, { photos: [PDF] }]);
    assert.equal((await answers.next()).value?.line, 1);
    finish();
    assert.equal((await answers.next()).value?.line, 2);
    assert((await answers.next()).done);
  });
  await scripted([slow], async (url) => {
    for await (const _ of new Client(url, "k").checkBatch([{ photos: [PDF] }, { photos: [PDF] }])) break;
  });
});

test("a part that broke off is sent again, and no answer comes twice", async () => {
  const ndjson = (...lines: object[]) => lines.map((line) => `${JSON.stringify(line)}\n`).join("");
  const one = { line: 1, status: 200, check: { id: "chk_1" } };
  const two = { line: 2, status: 200, check: { id: "chk_2" } };
  const full = { line: 2, status: 503, problem: { code: "storage-unavailable" } };
  const end = { end: { lines: 2, answered: 2, failed: 0 } };
  const listings: Listing[] = [{ photos: [PDF] }, { photos: [PDF] }];
  const whole = says(200, ndjson(one, two, end));
  const cut = breaksOff(`${ndjson(one)}{"line":`);
  await scripted([BUSY, cut, says(200, ndjson(one, full, end)), whole], async (url, asked) => {
    const answers = await all(new Client(url, "k", { retries: RETRIES }).checkBatch(listings, { key: "k" }));
    assert.deepEqual(
      answers.map(({ line }) => line),
      [1, 2],
    );
    assert.deepEqual([...new Set(asked.map(({ headers }) => headers["idempotency-key"]))], ["k/0"]);
  });
  await scripted([cut, cut, cut, cut, cut], async (url, asked) => {
    const client = new Client(url, "k", { retries: RETRIES });
    await assert.rejects(all(client.checkBatch(listings)), Unreachable);
    assert.equal(asked.length, 4);
  });
  await scripted([says(200, ndjson(one)), says(200, ndjson(one)), whole], async (url) => {
    const client = new Client(url, "k", { retries: { ...RETRIES, tries: 2 } });
    await assert.rejects(all(client.checkBatch(listings)), /after 1 of 2 listings/);
  });
});
