// Every page, in both themes and at two widths: readable by everyone, and nothing cut off or beside the page.

import fs from 'node:fs';
import { createRequire } from 'node:module';
import { expect, test } from '../console.ts';
import { api } from '../fleet.ts';
import type { AxeResults, ImpactValue } from 'axe-core';

const axe = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

async function pages(): Promise<string[]> {
  const host = (await api<{ items: { id: string }[] }>('/hosts')).items[0]!.id;
  const plan = (await api<{ items: { id: string }[] }>('/plans')).items.at(-1)!.id;
  return [
    '/jobs', '/jobs/web', '/jobs/web?tab=history', '/jobs/web?tab=spec', '/jobs/web?tab=events', '/jobs/crash',
    '/tasks', '/tasks/web.0', '/tasks/crash.0', '/hosts', `/hosts/${host}`, '/plans', `/plans/${plan}`, '/events', '/nowhere',
  ];
}

for (const theme of ['light', 'dark']) {
  test(`pages hold no serious barrier, ${theme}`, async ({ console: muster }) => {
    const { page } = muster;
    await page.addInitScript((theme) => localStorage.setItem('muster-theme', theme), theme);
    for (const path of await pages()) {
      await muster.open(path);
      await expect(page.locator('main h1')).toBeVisible();
      await expect(page.locator('[data-test-loading]')).toHaveCount(0);
      // The parts fade in and out with the connection: colours are measured when they stand.
      await page.evaluate(() => Promise.all(document.getAnimations().map((one) => one.finished.catch(() => {}))));
      await page.evaluate(axe);
      const { violations } = await page.evaluate<AxeResults>('axe.run()');
      const serious: ImpactValue[] = ['serious', 'critical'];
      const found = violations
        .filter(({ impact }) => serious.includes(impact ?? null))
        .map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(' ')).slice(0, 3).join(', ')}`);
      expect(found, `${path}, ${theme}`).toEqual([]);
    }
  });
}

for (const width of [1440, 900]) {
  test(`no page is wider than the window, no heading is cut, ${width} wide`, async ({ console: muster }) => {
    const { page } = muster;
    await page.setViewportSize({ width, height: 900 });
    for (const path of await pages()) {
      await muster.open(path);
      await expect(page.locator('main h1')).toBeVisible();
      await expect(page.locator('[data-test-loading]')).toHaveCount(0);
      const wrong = await page.evaluate(() => {
        const main = document.querySelector('main')!;
        const cut = [...document.querySelectorAll('main th')]
          .filter((th) => th.clientWidth > 1 && th.scrollWidth > th.clientWidth)
          .map((th) => `heading cut: ${th.textContent}`);
        const wide = main.scrollWidth > main.clientWidth ? [`wider by ${main.scrollWidth - main.clientWidth}`] : [];
        const tables = [...document.querySelectorAll('.table-wrap')]
          .filter((wrap) => wrap.scrollWidth > wrap.clientWidth)
          .map(() => 'a table has to be scrolled sideways');
        return [...cut, ...wide, ...tables];
      });
      expect(wrong, `${path}, ${width} wide`).toEqual([]);
    }
  });
}

test('the way in holds no serious barrier', async ({ page }) => {
  await page.goto('/');
  await expect(page.locator('[data-test-token]')).toBeVisible();
  await page.evaluate(axe);
  const { violations } = await page.evaluate<AxeResults>('axe.run()');
  expect(violations.filter(({ impact }) => impact === 'serious' || impact === 'critical').map(({ id }) => id)).toEqual([]);
});
