// Two pages of the demo's chat in a headless Chromium. Arguments: the page's origin, the address that stands for it.
// Tells what the pages showed.

'use strict';

const { chromium } = require('playwright-core');

const [origin, address] = process.argv.slice(2);
const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update',
  '--disable-sync', `--host-resolver-rules=MAP ${new URL(origin).host} ${address}, MAP * ~NOTFOUND`,
];

const main = async () => {
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: FLAGS });
  const errors = [];
  // Of each WebSocket the status that opened it: 101 (RFC 6455), or 200 over HTTP/2 (RFC 8441).
  const opened = [];
  const join = async (name) => {
    // Over https, with a certificate by an authority that only the test knows.
    const page = await browser.newPage({ ignoreHTTPSErrors: true });
    page.on('pageerror', (error) => errors.push(error.message));
    const network = await page.context().newCDPSession(page);
    network.on('Network.webSocketHandshakeResponseReceived', ({ response }) => opened.push(response.status));
    await network.send('Network.enable');
    await page.goto(`${origin}/?room=browsers&name=${name}`);
    await page.locator('#state[data-state=open]').waitFor();
    return page;
  };
  const row = (page, text) => page.locator('#log li', { hasText: text }).last().innerText();
  const text = (shown) => shown.split('\n').at(-1).replace(/^Ann\s*/, '');

  const [ann, ben] = [await join('Ann'), await join('Ben')];
  await ann.fill('#text', 'hello from a browser');
  await ann.keyboard.press('Enter');
  await row(ann, 'hello from a browser');
  const said = text(await row(ben, 'hello from a browser'));
  await ann.click('#masked');
  await row(ann, 'is a sluicegate?');
  const masked = text(await row(ben, 'is a sluicegate?'));
  const [server, other_server] = await Promise.all([ann, ben].map((page) => page.locator('#server').innerText()));
  await ben.click('#close');
  const closed = await row(ben, 'Closed with code');
  const protocol = await ann.evaluate(() => performance.getEntriesByType('navigation')[0].nextHopProtocol);
  await browser.close();
  console.log(JSON.stringify({ said, masked, server, other_server, closed, protocol, opened, errors }));
  process.exit();
};

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

process.stdin.on('end', () => process.exit(1)).resume();
