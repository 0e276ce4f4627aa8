/**
 * One call, tried again where that is safe, always with the same idempotency key.
 *
 * @typedef {Record<string, unknown>} Body What a call sends.
 * @typedef {Record<string, any>} Answer What it returns.
 */

/** Answers that pass: too many requests, and a server or a proxy that is away for a moment. */
const PASSING = new Set([429, 502, 503, 504]);
const LONGEST_PAUSE_MS = 30_000;
const FIRST_PAUSE_MS = 250;

/** The server said no (RFC 9457). `code` never changes its meaning; read that. */
export class ApiError extends Error {
  /** @param {number} status @param {string} code @param {string} detail */
  constructor(status, code, detail) {
    super(`${code} (${status}): ${detail}`);
    this.name = 'ApiError';
    this.status = status;
    this.code = code;
    this.detail = detail;
  }
}

/**
 * No answer came, or only answers that say "later". A call that changes something may have
 * happened: repeat it with `key`, and it happens once.
 */
export class Unreachable extends Error {
  /** @param {string} detail @param {string | undefined} key */
  constructor(detail, key) {
    super(detail);
    this.name = 'Unreachable';
    this.key = key;
  }
}

/** Sends calls to one server; what they are stands in bitcache.js. */
export class Calls {
  /**
   * @param {string} url
   * @param {string} [secret]
   * @param {{ timeoutMs?: number, attempts?: number, fetch?: typeof fetch,
   *   pause?: (ms: number) => Promise<void> }} [options]
   */
  constructor(url, secret = '', options = {}) {
    this._url = url.replace(/\/+$/, '');
    this._secret = secret;
    this._timeoutMs = options.timeoutMs ?? 10_000;
    this._attempts = options.attempts ?? 4;
    this._fetch = options.fetch ?? globalThis.fetch;
    this._pause = options.pause ?? ((ms) => new Promise((done) => setTimeout(done, ms)));
  }

  /** @param {string} path @param {Body} [query] */
  _get(path, query = {}) {
    const known = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
    const search = new URLSearchParams(known.map(([name, value]) => [name, String(value)]));
    return this._send('GET', search.size ? `${path}?${search}` : path, undefined, undefined, true);
  }
  /** @param {string} path @param {Body | undefined} body @param {string} [key] */
  _once(path, body, key) {
    return this._send('POST', path, body, key ?? crypto.randomUUID(), true);
  }
  /** @param {string} path @param {Body} body */
  _post(path, body) {
    return this._send('POST', path, body, undefined, false);
  }
  /** @param {string} path @param {string} name @param {Body} query @returns {AsyncGenerator<Answer>} */
  async *_all(path, name, query) {
    let cursor = null;
    do {
      const page = await this._get(path, { ...query, cursor });
      yield* page[name];
      cursor = page.next_cursor;
    } while (cursor !== null);
  }

  /**
   * Send a call, again where that is safe, always with the same idempotency key.
   *
   * @param {string} method
   * @param {string} path
   * @param {Body | undefined} body
   * @param {string | undefined} key
   * @param {boolean} repeat Whether it may be sent again when nobody knows what became of it.
   * @returns {Promise<Answer>}
   */
  async _send(method, path, body, key, repeat) {
    let why = '';
    for (let attempt = 0; attempt < this._attempts; attempt += 1) {
      let waitMs = pauseMs(attempt);
      const answer = await this._try(method, path, body, key);
      if (answer instanceof Error) {
        why = `No answer: ${answer.name}`;
        if (!repeat) break;
      } else if (!PASSING.has(answer.status)) {
        return content(answer);
      } else {
        why = String(await problem(answer));
        // A proxy's 502 or 504 may come after the server did it.
        if (!repeat && answer.status !== 429) break;
        waitMs = retryAfterMs(answer) ?? waitMs;
      }
      if (attempt + 1 < this._attempts) await this._pause(waitMs);
    }
    throw new Unreachable(why, key);
  }

  /** @param {string} method @param {string} path @param {Body | undefined} body @param {string | undefined} key */
  async _try(method, path, body, key) {
    /** @type {Record<string, string>} */
    const headers = { Accept: 'application/json' };
    if (this._secret) headers.Authorization = `Bearer ${this._secret}`;
    if (key) headers['Idempotency-Key'] = key;
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    try {
      return await this._fetch(this._url + path, {
        method,
        headers,
        body: body === undefined ? null : JSON.stringify(body),
        signal: AbortSignal.timeout(this._timeoutMs),
      });
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  }
}

/** @param {Response} answer @returns {Promise<Answer>} */
async function content(answer) {
  if (!answer.ok) throw await problem(answer);
  const text = await answer.text();
  return text ? JSON.parse(text) : {};
}

/** @param {Response} answer */
async function problem(answer) {
  try {
    const { code, detail } = await answer.json();
    if (typeof code === 'string') return new ApiError(answer.status, code, String(detail));
  } catch {
    // A proxy's page, for example.
  }
  return new ApiError(answer.status, 'no_problem_document', answer.statusText);
}

/** @param {Response} answer */
function retryAfterMs(answer) {
  const text = answer.headers.get('Retry-After') ?? '';
  return /^\d+$/.test(text) ? Math.min(Number(text) * 1000, LONGEST_PAUSE_MS) : undefined;
}

/** A pause that doubles, with some chance in it: not all come back at once. @param {number} attempt */
function pauseMs(attempt) {
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** attempt) * (0.5 + Math.random() / 2);
}
