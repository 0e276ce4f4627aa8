// What the wall's views are made of: no inline style, no parsed markup (CSP).

/** @import { Context, Part, View } from './types' */

export const h = (name = 'tag.class', /** @type {Part[]} */ ...parts) => {
  const [tag = '', cls = ''] = name.split('.');
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  for (const part of parts) {
    if (part instanceof Node || typeof part === 'string') node.append(part);
    else if (part) {
      for (const [key, value] of Object.entries(part)) {
        if (typeof value === 'function') node.addEventListener(key, value);
        else node.setAttribute(key, value);
      }
    }
  }
  return node;
};

export const badge = (sign = '✓') => h('div.badge', { 'aria-hidden': 'true' }, sign);
export const title = (words = '') => h('h2', { id: 'title', tabindex: '-1' }, words);
export const fine = (words = '') => h('p.fine', words);
export const note = (words = '') => h('p.note', words);

/**
 * @typedef {'read' | 'pay' | 'webln' | 'newCode' | 'redeem' | 'retry' | 'download'} Action
 * @type {(c: Context, name: Action, words?: string, second?: unknown) => HTMLElement}
 */
export const action = ({ m, f, on }, name, words = name, second) =>
  h(
    second ? 'button' : 'button.primary',
    { id: second ? name : 'main', 'aria-disabled': `${!!m.busy}`, click: () => on[name]() },
    f.say(m.busy && !second ? 'paying' : words),
  );

/** @param {Context} c */
export const kind = ({ m, f }) => h('p.kind', f.say(m.item?.kind ?? 'article'));

/** @param {Context} c */
export const fileLine = ({ m, f }) => {
  const file = m.item?.file;
  return file && fine(`${file.name} · ${f.size(file.size_bytes)}`);
};

/** @type {View} */
export const notes = ({ m, f, name }) => {
  const kept = name !== 'credit' && m.invoice?.credit_msat;
  const key = m.invoice?.state === 'paid' ? 'note_overpaid' : 'note_credit';
  return [
    m.notice && f.say(m.notice),
    kept && f.say(key, { x: f.sats(kept) }),
    m.offline && f.say('note_offline'),
    !m.persistent && m.receiptCode && f.say('note_memory'),
  ].map((words) => words && note(words));
};

/** @type {(c: Context, id: string, shown: string | Node, value: string, more: string) => Node} */
export const copyRow = ({ f, on }, id, shown, value, more) => {
  const code = h('code', { dir: 'ltr' }, shown);
  const label = f.say(`copy_${id}`);
  const button = h('button', { id, 'aria-label': label }, f.say('copy'));
  button.onclick = () => on.copy(value, code, button);
  return h('div.row', h('div', fine(f.say(id)), code, more && fine(more)), button);
};

/** @param {Context} c */
export const receipt = (c, shown = true) => {
  const code = shown && c.m.receiptCode;
  return code && h('div.receipt', copyRow(c, 'receipt', code, code, c.f.say('receipt_text')));
};
