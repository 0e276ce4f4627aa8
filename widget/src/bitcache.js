// Defines the tag; importing element.js does not.
import { BitcachePaywall } from './element.js';

const name = 'bitcache-paywall';
if (!customElements.get(name)) customElements.define(name, BitcachePaywall);
