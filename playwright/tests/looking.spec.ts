// Looking around: logs, filters, keys, colours.

import { expect, test } from '../console.ts';
import { api, web } from '../fleet.ts';

test.describe('a task that runs', () => {
  test.beforeEach(async ({ console: muster, repository }) => {
    repository.write('talker.yaml', web({ name: 'talker', desired: 2 }));
    // The second of these tests finds the document there already.
    if ((await repository.git('status', '--porcelain')) !== '') await repository.push('Run a talker');
    await muster.open('/tasks/talker.0');
    await expect(muster.page.locator('[data-test-task="talker.0"][data-test-healthy=true]')).toBeVisible({ timeout: 40_000 });
  });

  test('its log comes line by line; it can be filtered, paused and wrapped', async ({ console: muster }) => {
    const { page } = muster;
    const lines = page.locator('[data-test-log-line]');
    await expect(page.locator('[data-test-log-flow=live]')).toBeVisible();
    await expect(lines.first()).toContainText('starts');
    // The stream is no state: a line of standard error looks no worse than another.
    const stderr = await lines.first().evaluate((line) => {
      line.className = 'log-line stderr';
      const probe = document.createElement('i');
      probe.style.color = 'var(--bad)';
      line.append(probe);
      const bad = getComputedStyle(probe).color;
      probe.remove();
      const mark = getComputedStyle(line.querySelector('time')!, '::after');
      return { bad, mark: mark.content, colours: [getComputedStyle(line).boxShadow, mark.color] };
    });
    expect(stderr.mark).toContain('err');
    expect(stderr.colours.join()).not.toContain(stderr.bad);
    const second = await lines.filter({ hasText: 'up for' }).last().textContent();
    const now = Number(/up for (\d+) s/.exec(second ?? '')?.[1] ?? 0);
    await expect(lines.filter({ hasText: `up for ${now + 2} s` })).toBeVisible();

    await page.locator('[data-test-log-filter]').fill('listens on');
    await expect(lines).toHaveCount(1);
    await page.locator('[data-test-log-filter]').fill('');
    await expect(lines.nth(2)).toBeVisible();
    await page.locator('[data-test-log-follow]').click();
    await expect(page.locator('[data-test-log-flow=paused]')).toBeVisible();
    await page.locator('[data-test-log-wrap]').click();
    await expect(page.locator('[data-test-log-wrap]')).toHaveAttribute('aria-pressed', 'true');
  });

  test('its attempt id is copied', async ({ console: muster, context }) => {
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    const { attempt } = await api<{ attempt: string }>('/tasks/talker.0');
    await muster.page.locator('[data-test-instance] [data-test-copy="attempt id"]').click();
    await expect.poll(() => muster.page.evaluate(() => navigator.clipboard.readText())).toBe(attempt);
  });

  test('filters stand in the address', async ({ console: muster }) => {
    const { page } = muster;
    await muster.open('/tasks');
    await page.locator('[data-test-search]').fill('talker');
    await expect(page).toHaveURL('/tasks?q=talker');
    await page.locator('[data-test-chip="state=running"]').click();
    await expect(page).toHaveURL('/tasks?q=talker&state=running');
    await expect(page.locator('tr[data-test-task]')).toHaveCount(2);
    await page.reload();
    await expect(page.locator('[data-test-search]')).toHaveValue('talker');
    await expect(page.locator('[data-test-chip="state=running"]')).toHaveAttribute('aria-pressed', 'true');
    await expect(page.locator('tr[data-test-task]')).toHaveCount(2);

    await page.locator('[data-test-choice=healthy]').selectOption('false');
    await expect(page).toHaveURL('/tasks?q=talker&state=running&healthy=false');
    await expect(page.locator('[data-test-empty]')).toBeVisible();
    await page.locator('[data-test-clear]').click();
    await expect(page).toHaveURL('/tasks');
    await expect(page.locator('[data-test-search]')).toHaveValue('');
  });

  test('the keyboard suffices', async ({ console: muster }) => {
    const { page } = muster;
    await page.keyboard.press('g');
    await page.keyboard.press('t');
    await expect(page).toHaveURL('/tasks');
    await expect(page.locator('tr[data-test-task]').first()).toBeVisible();

    await page.keyboard.press('f');
    await expect(page.locator('[data-test-search]')).toBeFocused();
    await page.keyboard.type('talker');
    await expect(page.locator('tr[data-test-task]')).toHaveCount(2);
    await page.keyboard.press('Escape');
    await page.keyboard.press('j');
    await expect(muster.task('talker.0').locator('[data-row]')).toBeFocused();
    await page.keyboard.press('j');
    await expect(muster.task('talker.1').locator('[data-row]')).toBeFocused();
    await page.keyboard.press('k');
    await page.keyboard.press('Enter');
    await expect(page).toHaveURL('/tasks/talker.0');

    await page.keyboard.press('/');
    await expect(page.locator('[data-test-jump-field]')).toBeFocused();
    await page.keyboard.type('talker');
    await expect(page.locator('[data-test-jump="/jobs/talker"]')).toBeVisible();
    await page.keyboard.press('Enter');
    await expect(page).toHaveURL('/jobs/talker');

    await page.keyboard.press('?');
    await expect(page.locator('[data-test-panel=keys]')).toBeVisible();
    await page.keyboard.press('Escape');
    await expect(page.locator('[data-test-panel=keys]')).toHaveCount(0);
  });
});

test('the chosen colours are kept', async ({ console: muster }) => {
  const { page } = muster;
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const theme = page.locator('[data-test-theme]');
  await theme.click();
  await expect(theme).toHaveAttribute('data-test-theme', 'light');
  const light = await ground();
  await theme.click();
  await expect(theme).toHaveAttribute('data-test-theme', 'dark');
  const dark = await ground();
  expect(dark).not.toBe(light);
  await page.reload();
  await expect(theme).toHaveAttribute('data-test-theme', 'dark');
  expect(await ground()).toBe(dark);
});
