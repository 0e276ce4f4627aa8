// Secrets that this browser makes, and what of them others may see.

import { fail } from './api.js';

const base64url = (/** @type {Uint8Array} */ bytes) =>
  btoa(String.fromCharCode(...bytes)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=/g, '');

export const secret = () => base64url(crypto.getRandomValues(new Uint8Array(32)));

/** As in PKCE (RFC 7636): who shows the secret of this hash gets the grant. */
export const challengeOf = async (verifier = '') => {
  // Only on https and localhost.
  if (!crypto.subtle) fail('insecure_context');
  const bytes = new TextEncoder().encode(verifier);
  return base64url(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)));
};
