// A receipt code from another device: the form, and what it does.

import { codeOf } from './api.js';
import { collect } from './invoices.js';
import { h } from './parts.js';
import { restoreLink, VIEWS } from './render.js';

/** @import { Session } from './session.js' */

VIEWS.restore = (c) => {
  const { m, f, on } = c;
  const error = m.restoreError;
  const input = document.createElement('input');
  input.id = 'code';
  input.required = true;
  input.dir = 'ltr';
  input.autocomplete = 'off';
  input.ariaInvalid = `${!!error}`;
  input.setAttribute('aria-describedby', 'bad');
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    on.restore(input.value);
  };
  const form = h(
    'form',
    { submit },
    h('label', { for: 'code' }, f.say('receipt')),
    input,
    h('p.bad', { id: 'bad', role: 'alert' }, error && f.error(error)),
    h('button', { id: 'restore' }, f.say('restore')),
    restoreLink(c, 'cancel', false),
  );
  return [form];
};

/** Mail programs add white space to a receipt code. */
export const restore = async (/** @type {Session} */ s, text = '') => {
  const [invoice = '', verifier = ''] = text.replace(/\s/g, '').split('.');
  const path = `invoices/${encodeURIComponent(invoice)}`;
  try {
    // What this browser has gives way to a right code only.
    const { item } = await s.api(path);
    if (item !== s.itemId) return s.set({ restoreError: 'restore_other' });
    await s.api(`${path}/claim`, { body: { verifier } });
  } catch (error) {
    const code = codeOf(error);
    if (code !== 'invoice_not_paid') {
      const mine = /^(offline|rate_limited|storage)/.test(code);
      return s.set({ restoreError: mine ? `e_${code}` : 'restore_bad' });
    }
  }
  s.store.reset(true, invoice);
  s.store.update({ invoice, verifier });
  s.set({ restoring: false });
  await s.try(() => collect(s, 'claim'));
};
