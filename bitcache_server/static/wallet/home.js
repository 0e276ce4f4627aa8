// The gift on the wallet's own pages; everything else there works without a script.

import { serveGiftButton } from './gift.js';

// The server has checked that this is a page of ours.
serveGiftButton((button) => location.assign(button.dataset.next || '/wallet'));
