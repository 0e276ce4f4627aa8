// Passkeys: every button with `data-passkey` registers one, signs in or confirms with one.
// Without this file the buttons stay hidden, and the recovery code does the same.

/** @type {Record<string, string>} */
const FINISH = {
  register: '/wallet/passkeys',
  sign_in: '/wallet/passkeys/sign-in',
  confirm: '/wallet/passkeys/confirm',
};
/** @type {Record<string, string>} */
const WORDS = {
  NotAllowedError: 'No passkey was used. Press the button to try again.',
  InvalidStateError: 'This device has a passkey for this wallet already.',
  SecurityError: 'The browser allows no passkeys at this address.',
  NotSupportedError: 'This device cannot keep such a passkey.',
};

const bytesOf = (/** @type {string} */ text) =>
  Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
const textOf = (/** @type {ArrayBuffer} */ buffer) =>
  btoa(Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join(''))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');

// `PublicKeyCredential.parseCreationOptionsFromJSON` and `toJSON` are too new to rely on.
/** @param {any} options in JSON, as the server made them */
function fromJson(options) {
  const withBytes = (/** @type {{id: string}[]} */ list) =>
    list.map((one) => ({ ...one, id: bytesOf(one.id) }));
  return {
    ...options,
    challenge: bytesOf(options.challenge),
    ...(options.user && { user: { ...options.user, id: bytesOf(options.user.id) } }),
    ...(options.excludeCredentials && { excludeCredentials: withBytes(options.excludeCredentials) }),
    ...(options.allowCredentials && { allowCredentials: withBytes(options.allowCredentials) }),
  };
}

/** @param {any} credential a PublicKeyCredential; its answer has other parts for each purpose */
function toJson(credential) {
  /** @type {Record<string, string>} */
  const response = {};
  for (const name of ['clientDataJSON', 'attestationObject', 'authenticatorData', 'signature', 'userHandle']) {
    if (credential.response[name]) response[name] = textOf(credential.response[name]);
  }
  return { id: credential.id, rawId: textOf(credential.rawId), type: credential.type, response };
}

/** @param {string} path @param {object} body @returns {Promise<any>} */
async function post(path, body) {
  const headers = { 'Content-Type': 'application/json' };
  const sent = fetch(path, { method: 'POST', headers, body: JSON.stringify(body) });
  const response = await sent.catch(() => {
    throw new Error('The server does not answer. Are you online?');
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.detail || 'That did not work. Try again.');
  return answer;
}

/** @param {string} purpose @param {boolean} understood */
async function run(purpose, understood) {
  const publicKey = fromJson(await post('/wallet/passkeys/options', { purpose }));
  const credential =
    purpose === 'register'
      ? await navigator.credentials.create({ publicKey })
      : await navigator.credentials.get({ publicKey });
  await post(FINISH[purpose] ?? '', { credential: toJson(credential), understood });
}

/** @param {HTMLButtonElement} button */
function bind(button) {
  const status = document.getElementById(button.getAttribute('aria-describedby') ?? '');
  if (!status) return;
  /** @type {HTMLInputElement | null} */
  const givesUp = document.querySelector('input#understood');
  if (!globalThis.PublicKeyCredential) {
    status.textContent = 'This browser has no passkeys.';
    return;
  }
  button.hidden = false;
  button.addEventListener('click', async () => {
    // Not `disabled`, which would take the keyboard's focus away.
    if (button.getAttribute('aria-disabled') === 'true') return;
    if (givesUp && !givesUp.reportValidity()) return;
    button.setAttribute('aria-disabled', 'true');
    status.classList.remove('bad');
    status.textContent = 'Follow what your browser asks …';
    try {
      await run(button.dataset.passkey ?? '', Boolean(givesUp?.checked));
      location.assign(button.dataset.next ?? '/wallet');
    } catch (error) {
      status.classList.add('bad');
      const { name = '', message = '' } = error instanceof Error ? error : {};
      status.textContent = WORDS[name] ?? message;
      button.setAttribute('aria-disabled', 'false');
    }
  });
}

/** @type {NodeListOf<HTMLButtonElement>} */
const buttons = document.querySelectorAll('button[data-passkey]');
buttons.forEach(bind);
