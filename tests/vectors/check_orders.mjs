// Checks orders.json with nothing but HMAC and JSON, as docs/orders.md describes the bytes.
// node tests/vectors/check_orders.mjs [FILE]: prints a line for each case that is read in another
// way than it should be, and a line with the number of cases.
import { createHmac, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";

const NAMES = [
  "amount", "cancel_url", "currency", "expires", "reference", "return_url", "site", "title",
];
const SHAPE = /^[A-Za-z0-9_-]{1,4000}\.[A-Za-z0-9_-]{2,7}\.[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;

const hmac = (key, text) => createHmac("sha256", key).update(text).digest();

const isSigned = (secret, purpose, message, signature) => {
  const expected = Buffer.from(hmac(hmac(secret, purpose), message).toString("base64url"));
  const given = Buffer.from(signature);
  return expected.length === given.length && timingSafeEqual(expected, given);
};

const messageOf = (parameters) =>
  NAMES.filter((name) => name in parameters).map((name) => `${name}=${parameters[name]}\n`).join("");

const isGoodLink = ({ secrets, parameters, signature, message }) => {
  if (messageOf(parameters) !== message) throw new Error(`another message: ${message}`);
  return secrets.some((secret) => isSigned(secret, "bitcache.order-link.v1", message, signature));
};

const claimsOf = ({ secrets, token }) => {
  if (!SHAPE.test(token)) return null;
  const [payload, time, signature] = token.split(".");
  const signed = `${payload}.${time}`;
  if (!secrets.some((secret) => isSigned(secret, "bitcache.order.v1", signed, signature))) {
    return null;
  }
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString("utf8"));
  return {
    site: claims.s, order: claims.o, reference: claims.r, state: claims.t,
    total_minor: claims.a, currency: claims.c,
    issued_at: Buffer.from(time, "base64url").readUIntBE(0, (time.length * 6) >> 3),
  };
};

const file = process.argv[2] ?? new URL("orders.json", import.meta.url);
const { links, tokens } = JSON.parse(readFileSync(file, "utf8"));
const wrong = [
  ...links.filter((one) => isGoodLink(one) !== one.valid),
  ...tokens.filter((one) => JSON.stringify(claimsOf(one)) !== JSON.stringify(one.claims)),
];
for (const { name } of wrong) console.log(name);
process.exitCode = wrong.length ? 1 : 0;
console.log(`${links.length + tokens.length} cases`);
