// What meets someone who opens the address that `openautoglm up` prints.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { AxeBuilder } from '@axe-core/playwright';

import { openPage, startBrowser } from './browser.mjs';
import { startProduct } from './product.mjs';

let product;
let browser;

before(async () => {
  product = await startProduct();
  browser = await startBrowser();
});

after(async () => {
  await browser?.close();
  await product?.stop();
});

/** How light the background is, from 0 to 1. */
function lightness(page) {
  return page.evaluate(() => {
    const solid = [document.body, document.documentElement]
      .map((element) => getComputedStyle(element).backgroundColor)
      .find((color) => !/^(transparent|rgba\(.*, 0\))$/.test(color));
    const canvas = document.createElement('canvas').getContext('2d');
    // What no style says is white.
    canvas.fillStyle = solid ?? 'white';
    canvas.fillRect(0, 0, 1, 1);
    const [red, green, blue] = canvas.getImageData(0, 0, 1, 1).data;
    return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255;
  });
}

for (const colorScheme of ['light', 'dark']) {
  test(`the first page is readable in ${colorScheme}`, async () => {
    const { page, problems } = await openPage(browser, product.url, { colorScheme });
    const answer = await page.goto(`${product.url}/`, { waitUntil: 'networkidle' });
    assert.equal(answer.status(), 200);
    assert.match(answer.headers()['content-type'], /^text\/html/);
    assert.equal(await page.title(), 'Open-AutoGLM');

    const text = await page.locator('body').innerText();
    assert.match(text, /\b(is up|is running)\b/i);
    assert.ok(text.includes(new URL(product.url).host), 'it shows the address to connect to');
    assert.ok(!text.includes(product.key), 'it keeps the key to itself');

    const light = await lightness(page);
    assert.ok(colorScheme === 'light' ? light > 0.8 : light < 0.25, `background ${light}`);

    const { violations } = await new AxeBuilder({ page }).analyze();
    assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map((node) => node.html)]), []);
    assert.deepEqual(problems, []);
  });
}

test('the first page leads to the description of the API', async () => {
  const { page, problems } = await openPage(browser, product.url, {});
  await page.goto(`${product.url}/`);
  const link = page.locator('a[href="/api/v1/openapi.json"]').first();
  assert.ok(await link.isVisible());
  const answer = await fetch(new URL(await link.getAttribute('href'), product.url));
  assert.equal(answer.status, 200);
  assert.match((await answer.json()).openapi, /^3\./);
  assert.deepEqual(problems, []);
});

test('the first page fits a narrow window', async () => {
  const viewport = { width: 360, height: 640 };
  const { page } = await openPage(browser, product.url, { viewport });
  await page.goto(`${product.url}/`);
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= viewport.width, `${width} px wide`);
});
