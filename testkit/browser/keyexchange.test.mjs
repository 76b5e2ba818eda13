// What a client that is not ours agrees on with the listener of a cluster's nodes.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';

import { startBrowser } from './browser.mjs';

let listener;
let url;
let browser;

before(async () => {
  const binary = process.env.OPENAUTOGLM_BIN;
  if (!binary) throw new Error('OPENAUTOGLM_BIN names the binary to test');
  // Built with the tests, beside the product.
  const example = join(dirname(binary), 'examples', 'listener');
  listener = spawn(example, { stdio: ['ignore', 'pipe', 'ignore'] });
  url = await new Promise((resolve, reject) => {
    listener.once('error', reject);
    listener.once('close', (code) => reject(new Error(`the listener ended: status ${code}`)));
    createInterface(listener.stdout).once('line', (line) => resolve(line.split(' ')[0]));
  });
  browser = await startBrowser();
});

after(async () => {
  await browser?.close();
  listener?.kill();
});

test('Chromium and a listener exchange keys by X25519MLKEM768', async () => {
  // The browser knows nothing of the authority; it is asked how it speaks, not whom it trusts.
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  const session = await context.newCDPSession(page);
  await session.send('Network.enable');
  const seen = new Promise((resolve) => {
    session.on('Network.responseReceived', ({ response }) => {
      if (response.url === `${url}/`) resolve(response.securityDetails);
    });
  });
  const answer = await page.goto(`${url}/`);
  assert.equal(answer.status(), 200);
  assert.match(await answer.text(), /X25519MLKEM768.*node None/);
  const { protocol, keyExchangeGroup } = await seen;
  assert.deepEqual({ protocol, keyExchangeGroup }, {
    protocol: 'TLS 1.3',
    keyExchangeGroup: 'X25519MLKEM768',
  });
  await context.close();
});
