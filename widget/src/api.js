// One call of the API. A failure carries one of its stable codes, or "offline".

class ApiError extends Error {}

export const codeOf = (/** @type {unknown} */ error) =>
  error instanceof ApiError ? error.message : 'internal_error';

/** @returns {never} */
export const fail = (code = 'internal_error') => {
  throw new ApiError(code);
};

/**
 * A module that did not arrive.
 * @template T
 * @param {Promise<T>} module
 */
export const late = (module) => module.catch(() => fail('offline'));

/** @type {(server: string, fetcher?: typeof fetch) => import('./types').Call} */
export const connect =
  (server, fetcher = (...args) => fetch(...args)) =>
  async (path, { body, key, grant } = {}) => {
    const headers = new Headers();
    if (body) headers.set('Content-Type', 'application/json');
    if (key) headers.set('Idempotency-Key', key);
    if (grant) headers.set('Authorization', `Bearer ${grant}`);
    let response;
    let answer;
    try {
      response = await fetcher(`${server}/v1/${path}`, {
        method: body ? 'POST' : 'GET',
        headers,
        body: body ? JSON.stringify(body) : null,
        cache: 'no-store',
        credentials: 'omit',
        signal: AbortSignal.timeout(20_000),
      });
      answer = await response.json();
    } catch {
      // No answer, or the error page of a proxy.
      return fail('offline');
    }
    return response.ok ? answer : fail(answer.code);
  };
