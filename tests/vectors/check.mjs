// Checks grants.json with nothing but HMAC and JSON, as docs/grants.md describes the format.
// node tests/vectors/check.mjs [FILE]: prints one line for each case that is read in another
// way than it should be, and a line with the number of cases.
import { createHmac, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";

const SHAPE = /^[A-Za-z0-9_-]{1,4000}\.[A-Za-z0-9_-]{2,7}\.[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;
const MAX_CHARS = 4096;

const PURPOSES = {
  "bitcache.grant.v1": { texts: ["s", "i", "h"], numbers: ["p", "r"], read: readGrant },
  "bitcache.receipt.v1": { texts: ["s", "i", "n"], numbers: ["p"], read: readReceipt },
  "bitcache.download.v1": { texts: ["s", "i", "h"], numbers: ["r"], read: readDownload },
};

class Invalid extends Error {}

function hmac(key, text) {
  return createHmac("sha256", key).update(text).digest();
}

function isSignedBy(secret, purpose, signed, signature) {
  const expected = Buffer.from(hmac(hmac(secret, purpose), signed).toString("base64url"));
  return timingSafeEqual(expected, Buffer.from(signature));
}

function isCount(value) {
  return Number.isSafeInteger(value) && value >= 0;
}

function parse(payload) {
  try {
    return JSON.parse(Buffer.from(payload, "base64url").toString("utf8"));
  } catch {
    throw new Invalid();
  }
}

function open(token, purpose, secrets) {
  if (token.length > MAX_CHARS || !SHAPE.test(token)) throw new Invalid();
  const [payload, time, signature] = token.split(".");
  const signed = `${payload}.${time}`;
  if (!secrets.some((secret) => isSignedBy(secret, purpose, signed, signature))) {
    throw new Invalid();
  }
  const claims = parse(payload);
  const { texts, numbers, read } = PURPOSES[purpose];
  if (!texts.every((key) => typeof claims[key] === "string")) throw new Invalid();
  if (!numbers.every((key) => isCount(claims[key]))) throw new Invalid();
  return read(claims, Buffer.from(time, "base64url").readUIntBE(0, (time.length * 6) >> 3));
}

function readGrant(claims, time) {
  if (claims.e !== null && !isCount(claims.e)) throw new Invalid();
  return {
    site: claims.s, item: claims.i, holder: claims.h, price_msat: claims.p,
    issued_at: time, expires_at: claims.e, revision: claims.r,
  };
}

function readReceipt(claims, time) {
  if (claims.c !== null && typeof claims.c !== "string") throw new Invalid();
  return {
    site: claims.s, item: claims.i, invoice: claims.n, amount_msat: claims.p,
    paid_at: time, content_sha256: claims.c,
  };
}

function readDownload(claims, time) {
  return { site: claims.s, item: claims.i, holder: claims.h, revision: claims.r, expires_at: time };
}

/** Say what a case is: ["valid", claims], ["expired", null] or ["invalid", null]. */
function judge({ token, purpose, secrets, site, item, now }) {
  try {
    const claims = open(token, purpose, secrets);
    if (claims.site !== site || (item !== null && claims.item !== item)) throw new Invalid();
    const ends = claims.expires_at ?? Infinity;
    return now >= ends ? ["expired", null] : ["valid", claims];
  } catch (error) {
    if (error instanceof Invalid) return ["invalid", null];
    throw error;
  }
}

const file = process.argv[2] ?? new URL("grants.json", import.meta.url);
const { cases } = JSON.parse(readFileSync(file, "utf8"));
for (const one of cases) {
  const [verdict, claims] = judge(one);
  if (verdict !== one.expect || JSON.stringify(claims) !== JSON.stringify(one.claims)) {
    console.log(`${one.name}: ${verdict} ${JSON.stringify(claims)}, not ${one.expect}`);
    process.exitCode = 1;
  }
}
console.log(`${cases.length} cases`);
