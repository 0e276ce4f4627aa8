// What this browser keeps per server and item; in memory where storage is blocked.

/** @import { Entry } from './types' */
/** @type {Map<string, Entry>} */
const memory = new Map();

export class Store {
  persistent = true;
  #writing = false;

  constructor(name = '', changed = () => {}) {
    this.name = name;
    const listener = (/** @type {StorageEvent} */ { key }) => {
      if (key === name && !this.#writing) changed();
    };
    addEventListener('storage', listener);
    this.close = () => removeEventListener('storage', listener);
  }

  /** @returns {Entry} */
  read() {
    try {
      const entry = JSON.parse(localStorage.getItem(this.name) ?? '0');
      if (entry) return entry;
    } catch {
      this.persistent = false;
    }
    return memory.get(this.name) ?? {};
  }

  write(/** @type {Entry} */ entry) {
    memory.set(this.name, entry);
    this.#writing = true;
    try {
      localStorage.setItem(this.name, JSON.stringify(entry));
    } catch {
      this.persistent = false;
    }
    // Browsers tell other tabs only.
    dispatchEvent(new StorageEvent('storage', { key: this.name }));
    this.#writing = false;
  }

  update(/** @type {Entry} */ change) {
    this.write({ ...this.read(), ...change });
  }

  /** Earlier codes stay, and the current one if it is kept. */
  reset(keep = false, gone = '') {
    const { invoice, verifier, older = [] } = this.read();
    const all = keep && invoice && verifier ? [{ invoice, verifier }, ...older] : older;
    this.write({ older: all.filter((code) => code.invoice !== gone).slice(0, 5) });
  }
}
