// Passkeys: every button with `data-passkey` registers one, signs in or confirms with one, or
// opens an account with one. `data-base` says where; `/wallet` if it does not. Without this
// file the buttons stay hidden, and other ways do the same.

/** @type {Record<string, string>} */
const FINISH = {
  register: '/passkeys',
  sign_in: '/passkeys/sign-in',
  confirm: '/passkeys/confirm',
  sign_up: '/sign-up/passkey',
};
// An element with the id `passkey_words` has them in the language of its page.
/** @type {Record<string, string | undefined>} */
const WORDS = {
  none: 'This browser has no passkeys.',
  follow: 'Follow what your browser asks …',
  offline: 'The server does not answer. Are you online?',
  failed: 'That did not work. Try again.',
  NotAllowedError: 'No passkey was used. Press the button to try again.',
  InvalidStateError: 'This device has a passkey for this wallet already.',
  SecurityError: 'The browser allows no passkeys at this address.',
  NotSupportedError: 'This device cannot keep such a passkey.',
};
const words = (/** @type {string} */ name) =>
  document.getElementById('passkey_words')?.getAttribute(`data-${name.toLowerCase()}`) ?? WORDS[name];

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
    throw new Error(words('offline'));
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.detail || words('failed'));
  return answer;
}

/** @param {HTMLButtonElement} button what the form says goes along where one opens an account */
const said = (button) => {
  const entries = button.form ? [...new FormData(button.form)] : [];
  return Object.fromEntries(entries.filter(([name]) => name !== 'password' && name !== 'next'));
};

/** @param {HTMLButtonElement} button @param {boolean} understood */
async function run(button, understood) {
  const { passkey: purpose = '', base = '/wallet' } = button.dataset;
  const opens = purpose === 'sign_up';
  const form = opens ? said(button) : {};
  const options = opens
    ? await post(`${base}/sign-up/passkey/options`, form)
    : await post(`${base}/passkeys/options`, { purpose });
  const publicKey = fromJson(options);
  const credential =
    purpose === 'register' || opens
      ? await navigator.credentials.create({ publicKey })
      : await navigator.credentials.get({ publicKey });
  const account = opens ? { ...form, user: options.user.id } : {};
  await post(base + (FINISH[purpose] ?? ''), { ...account, credential: toJson(credential), understood });
}

/** @param {HTMLButtonElement} button whether what is needed besides the password is filled in */
function isFilledIn(button) {
  if (button.dataset.passkey !== 'sign_up' || !button.form) return true;
  /** @type {NodeListOf<HTMLInputElement>} */
  const fields = button.form.querySelectorAll('input:not([type=password]):not([type=hidden])');
  return Array.from(fields).every((field) => field.reportValidity());
}

/** @param {HTMLButtonElement} button */
function bind(button) {
  const status = document.getElementById(button.getAttribute('aria-describedby') ?? '');
  if (!status) return;
  /** @type {HTMLInputElement | null} */
  const givesUp = document.querySelector('input#understood');
  if (!globalThis.PublicKeyCredential) {
    status.textContent = words('none') ?? '';
    return;
  }
  button.hidden = false;
  button.addEventListener('click', async () => {
    // Not `disabled`, which would take the keyboard's focus away.
    if (button.getAttribute('aria-disabled') === 'true') return;
    if ((givesUp && !givesUp.reportValidity()) || !isFilledIn(button)) return;
    button.setAttribute('aria-disabled', 'true');
    status.classList.remove('bad');
    status.textContent = words('follow') ?? '';
    try {
      await run(button, Boolean(givesUp?.checked));
      location.assign(button.dataset.next ?? '/wallet');
    } catch (error) {
      status.classList.add('bad');
      const { name = '', message = '' } = error instanceof Error ? error : {};
      status.textContent = (name !== 'Error' && words(name)) || message;
      button.setAttribute('aria-disabled', 'false');
    }
  });
}

/** @type {NodeListOf<HTMLButtonElement>} */
const buttons = document.querySelectorAll('button[data-passkey]');
buttons.forEach(bind);
