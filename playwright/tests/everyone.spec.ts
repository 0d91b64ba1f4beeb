// Every page, in both themes and at two widths: readable by everyone, and nothing cut off or beside the page.

import fs from 'node:fs';
import { createRequire } from 'node:module';
import { expect, test } from '../console.ts';
import { api } from '../fleet.ts';
import type { Page } from '@playwright/test';
import type { AxeResults, RunOptions } from 'axe-core';

const axe = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

async function pages(): Promise<string[]> {
  const host = (await api<{ items: { id: string }[] }>('/hosts')).items[0]!.id;
  const plan = (await api<{ items: { id: string }[] }>('/plans')).items.at(-1)!.id;
  return [
    '/jobs', '/jobs/web', '/jobs/web?tab=history', '/jobs/web?tab=spec', '/jobs/web?tab=events', '/jobs/crash',
    '/tasks', '/tasks/web.0', '/tasks/crash.0', '/hosts', `/hosts/${host}`, '/plans', `/plans/${plan}`, '/deploys', '/events', '/nowhere',
  ];
}

/** What axe-core finds that keeps people out. */
async function barriers(page: Page, rules: string[] = []): Promise<string[]> {
  const options: RunOptions = { resultTypes: ['violations'], ...(rules.length > 0 && { runOnly: rules }) };
  const { violations } = await page.evaluate<AxeResults>(`axe.run(${JSON.stringify(options)})`);
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(' ')).slice(0, 3).join(', ')}`);
}

/** What is cut off, or wider than its place. */
const squeezed = () => {
  const main = document.querySelector('main')!;
  const cut = [...document.querySelectorAll('main th')]
    .filter((th) => th.clientWidth > 1 && th.scrollWidth > th.clientWidth)
    .map((th) => `heading cut: ${th.textContent}`);
  const wide = main.scrollWidth > main.clientWidth ? [`wider by ${main.scrollWidth - main.clientWidth}`] : [];
  const tables = [...document.querySelectorAll('.table-wrap')]
    .filter((wrap) => wrap.scrollWidth > wrap.clientWidth)
    .map(() => 'a table has to be scrolled sideways');
  return [...cut, ...wide, ...tables];
};

/** What of a page does not fit on a phone: nothing of the page itself has to be scrolled sideways, and what the top bar says is seen. */
const besideThePhone = () => {
  const root = document.documentElement;
  const main = document.querySelector('main')!;
  const wide = [root, main]
    .filter((part) => part.scrollWidth > part.clientWidth)
    .map((part) => {
      const edge = part.getBoundingClientRect().right;
      const beyond = [...part.querySelectorAll('*')]
        .filter((one) => one.getBoundingClientRect().right > edge + 1 && one.closest('.table-wrap, .code, .log-pane, .source') === null)
        .map((one) => `${one.tagName.toLowerCase()}.${one.getAttribute('class') ?? ''}`);
      return `${part.tagName.toLowerCase()} is wider by ${part.scrollWidth - part.clientWidth}: ${beyond.slice(0, 5).join(', ')}`;
    });
  const boxes = ['[data-test-cell]', '[data-test-connection]', '[data-test-alerts]', '[data-test-jump-field]', '[data-test-time]', '[data-test-theme]']
    .map((name) => ({ name, box: document.querySelector(`.top-bar ${name}`)!.getBoundingClientRect() }));
  const cut = boxes.filter(({ box }) => box.width < 1 || box.left < 0 || box.right > root.clientWidth).map(({ name }) => `${name} is cut`);
  const over = boxes.flatMap(({ name, box }, place) => boxes.slice(place + 1)
    .filter(({ box: other }) => box.left < other.right - 1 && other.left < box.right - 1 && box.top < other.bottom - 1 && other.top < box.bottom - 1)
    .map((other) => `${name} and ${other.name} lie over each other`));
  return [...wide, ...cut, ...over];
};

test('every page can be read: light and dark, wide and narrow', async ({ console: muster }) => {
  test.setTimeout(150_000);
  const { page } = muster;
  await page.emulateMedia({ reducedMotion: 'reduce' });
  for (const path of await pages()) {
    await test.step(path, async () => {
      await page.setViewportSize({ width: 1440, height: 900 });
      await muster.open(path);
      await expect(page.locator('main h1')).toBeVisible();
      await expect(page.locator('[data-test-loading]')).toHaveCount(0);
      expect(await page.evaluate(squeezed), '1440 wide').toEqual([]);
      // The parts fade in and out with the connection: colours are measured when they stand.
      await page.evaluate(() => Promise.all(document.getAnimations().map((one) => one.finished.catch(() => {}))));
      await page.evaluate(axe);
      expect(await barriers(page), 'light').toEqual([]);
      await page.evaluate(() => { document.documentElement.dataset.theme = 'dark'; });
      expect(await barriers(page, ['color-contrast']), 'dark').toEqual([]);
      await page.setViewportSize({ width: 900, height: 900 });
      expect(await page.evaluate(squeezed), '900 wide').toEqual([]);
      await page.setViewportSize({ width: 390, height: 844 });
      expect(await page.evaluate(besideThePhone), '390 wide').toEqual([]);
    });
  }
});

test('the way in holds no serious barrier', async ({ page }) => {
  await page.goto('/');
  await expect(page.locator('[data-test-token]')).toBeVisible();
  await page.evaluate(axe);
  expect(await barriers(page)).toEqual([]);
});
