// The phone wallet of the demo: read a code, show what it asks for, pay it.

const $ = (id) => document.getElementById(id);
const number = new Intl.NumberFormat('en');
let usdPerBtc = 0;
let destination = '';

const usd = (sat) =>
  new Intl.NumberFormat('en', { style: 'currency', currency: 'USD' }).format((sat / 1e8) * usdPerBtc);

/** An invoice has hundreds of characters that nobody compares. */
const shorten = (text) => (text.length > 70 ? `${text.slice(0, 24)}…${text.slice(-12)}` : text);

async function call(path, options) {
  const response = await fetch(path, options);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error ?? 'The wallet does not answer.');
  return answer;
}

/** Show one of the three cards. */
function show(name) {
  for (const id of ['scan', 'review', 'done']) $(id).hidden = id !== name;
}

function showState({ balance_sat, usd_per_btc, payments }) {
  usdPerBtc = usd_per_btc;
  $('balance').textContent = number.format(balance_sat);
  $('balance-usd').textContent = `${usd(balance_sat)} at the demo's rate`;
  if (!payments.length) return;
  const rows = payments.map(({ reference, amount_sat }) => {
    const row = document.createElement('li');
    const id = document.createElement('code');
    id.textContent = `${reference.slice(0, 10)}…`;
    row.append(id, `−${number.format(amount_sat)} sats`);
    return row;
  });
  $('payments').replaceChildren(...rows);
}

async function read(body, type) {
  $('problem').textContent = '';
  try {
    const { amount_sat, over_lightning, ...code } = await call('/read', {
      method: 'POST',
      headers: { 'Content-Type': type },
      body,
    });
    destination = code.destination;
    $('address').textContent = shorten(destination);
    $('network').textContent = over_lightning ? 'over Lightning, to the invoice' : 'on-chain, to the address';
    $('amount').value = amount_sat ?? '';
    $('amount').readOnly = amount_sat !== null;
    $('amount-usd').textContent = amount_sat === null ? '' : usd(amount_sat);
    show('review');
    (amount_sat === null ? $('amount') : $('pay')).focus();
  } catch (error) {
    $('problem').textContent = error.message;
  }
}

const readPicture = (file) => file && read(file, file.type || 'application/octet-stream');

function restart() {
  $('code').value = '';
  $('picture').value = '';
  $('problem').textContent = '';
  show('scan');
}

$('picture').addEventListener('change', (event) => readPicture(event.target.files[0]));
$('typed').addEventListener('submit', (event) => {
  event.preventDefault();
  read($('code').value, 'text/plain');
});
document.addEventListener('paste', (event) => readPicture(event.clipboardData.files[0]));
for (const name of ['dragover', 'dragleave', 'drop']) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    $('drop').classList.toggle('over', name === 'dragover');
    if (name === 'drop') readPicture(event.dataTransfer.files[0]);
  });
}
$('cancel').addEventListener('click', restart);
$('again').addEventListener('click', restart);
$('review').addEventListener('submit', async (event) => {
  event.preventDefault();
  $('pay').disabled = true;
  try {
    const order = { destination, amount_sat: Number($('amount').value) };
    const headers = { 'Content-Type': 'application/json' };
    showState(await call('/pay', { method: 'POST', headers, body: JSON.stringify(order) }));
    show('done');
    $('done').querySelector('h2').focus();
  } catch (error) {
    restart();
    $('problem').textContent = error.message;
  } finally {
    $('pay').disabled = false;
  }
});

showState(await call('/state'));
