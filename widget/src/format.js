// Words and numbers in the reader's language.

/** @import { Formatter, Words } from './types' */
/** @type {(lang: string, words: Words) => Formatter} */
export const formatter = (lang, words) => {
  const number = (value = 0, options = {}) => new Intl.NumberFormat(lang, options).format(value);
  // Isolated: keeps its order in right-to-left lines.
  const money = (value = 0, currency = '', min = 0, max = min) =>
    `\u2068${number(value, {
      style: 'currency',
      currency,
      minimumFractionDigits: min,
      maximumFractionDigits: max,
    })}\u2069`;
  return {
    lang,
    say(key, values = {}) {
      let text = words[key] ?? key;
      if (typeof text === 'object') {
        text = text[new Intl.PluralRules(lang).select(Number(values.n))] ?? text.other ?? '';
      }
      return text.replace(/\{(\w+)\}/g, (_, name) => {
        const value = values[name] ?? '';
        return typeof value === 'number' ? number(value) : value;
      });
    },
    error(key) {
      const known = key.replace(/_(rail|node|lightning|lnurl|addresses)_.*/, '_rail_unavailable');
      return this.say(words[known] ? known : 'e_internal_error');
    },
    fiat: ({ currency, amount_minor, exponent }) =>
      money(amount_minor / 10 ** exponent, currency, exponent),
    rate: ({ price_per_btc, currency }) => money(Number(price_per_btc), currency, 0, 8),
    sats(msat) {
      return this.say('sats', { n: msat / 1000 });
    },
    age: (seconds) =>
      new Intl.RelativeTimeFormat(lang).format(
        -Math.max(0, Math.round(seconds < 99 ? seconds : seconds / 60)),
        seconds < 99 ? 'second' : 'minute',
      ),
    clock: (seconds) =>
      `${number(Math.floor(seconds / 60))}:${number(seconds % 60, { minimumIntegerDigits: 2 })}`,
    size(bytes) {
      const unit = bytes < 1e6 ? 'kilobyte' : 'megabyte';
      const value = bytes / (bytes < 1e6 ? 1e3 : 1e6);
      return number(value, { style: 'unit', unit, maximumFractionDigits: 1 });
    },
  };
};

/** English where a language has no file. @returns {Promise<Formatter>} */
export const loadLanguage = async (lang = 'en') => {
  try {
    const [tag = ''] = Intl.getCanonicalLocales(lang.replace(/_/g, '-'));
    const { words } = await import(`./i18n/${/^[a-z]+/.exec(tag)}.js`);
    return formatter(tag, words);
  } catch (error) {
    if (lang === 'en') throw error;
    return loadLanguage();
  }
};
