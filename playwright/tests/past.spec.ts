// The fleet as it was: the time stands in the address, nothing can be done, and what changed since is named.

import { expect, test } from '../console.ts';
import { api, web } from '../fleet.ts';

interface Journal {
  last: { seq: number; at: string };
}

test('the fleet is shown as it was, and what has changed since', async ({ console: muster, repository }) => {
  const { page } = muster;
  repository.write('traveller.yaml', web({ name: 'traveller', desired: 2 }));
  await repository.push('Run a traveller');
  await muster.open('/jobs/traveller');
  await expect(muster.progress('2/2')).toBeVisible({ timeout: 40_000 });
  await expect(page.locator('[data-test-ask=freeze]')).toBeVisible();
  const { last: then } = await api<Journal>('/journal');

  repository.change('traveller.yaml', 'desired: 2', 'desired: 1');
  await repository.push('Have one traveller less');
  await expect(muster.progress('1/1')).toBeVisible({ timeout: 40_000 });

  await test.step('a link shows the past, and says so', async () => {
    await page.goto(`/jobs/traveller?at=${encodeURIComponent(then.at)}`);
    const bar = page.locator(`[data-test-as-of="${then.at}"]`);
    await expect(bar).toContainText('As of');
    await expect(bar.locator('[data-test-as-of-record]')).toHaveAttribute('data-test-as-of-record', String(then.seq));
    await expect(page.locator('[data-test-connection=past]')).toBeVisible();
    await expect(muster.progress('2/2')).toBeVisible();
    await expect(page.locator('tr[data-test-task]')).toHaveCount(2);
    await expect(page.locator('[data-test-ask=freeze]')).toBeHidden();
  });

  await test.step('links and keys keep it', async () => {
    await muster.mark();
    await muster.task('traveller.1').locator('[data-row]').click();
    await expect(page).toHaveURL(`/tasks/traveller.1?at=${encodeURIComponent(then.at)}`);
    await expect(page.locator('[data-test-task="traveller.1"][data-test-healthy=true]')).toBeVisible();
    // What is of the present alone is not there.
    await expect(page.locator('[data-test-log-flow]')).toHaveCount(0);
    await page.locator('[data-test-rail=hosts]').click();
    await expect(page).toHaveURL(`/hosts?at=${encodeURIComponent(then.at)}`);
    await page.keyboard.press('g');
    await page.keyboard.press('t');
    await expect(page).toHaveURL(`/tasks?at=${encodeURIComponent(then.at)}`);
    await page.locator('[data-test-search]').fill('traveller');
    await expect(page).toHaveURL(/\/tasks\?.*q=traveller/);
    await expect(page).toHaveURL(/[?&]at=/);
    await expect(muster.healthy()).toHaveCount(2);
    await muster.isMarked();
  });

  await test.step('what is told of the present alone says so', async () => {
    for (const which of ['drift', 'deploys']) {
      await page.locator(`[data-test-rail=${which}]`).click();
      await expect(page).toHaveURL(`/${which}?at=${encodeURIComponent(then.at)}`);
      await expect(page.locator('[data-test-of-now]')).toBeVisible();
      await expect(page.locator('main [aria-busy=true]')).toHaveCount(0);
    }
    await page.locator('[data-test-rail=jobs]').click();
  });

  await test.step('what changed since names the commit', async () => {
    await page.locator('[data-test-since]').click();
    await expect(page).toHaveURL(`/diff?at=${encodeURIComponent(then.at)}`);
    await expect(page.locator('[data-test-diff-job="traveller"]')).toHaveAttribute('data-test-presence', 'changed');
    await expect(page.locator('[data-test-diff-job="traveller"] [data-test-field="service.capacity.desired"]')).toBeVisible();
    await expect(page.locator('[data-test-diff=plans]')).toContainText('Have one traveller less');
    await expect(page.locator('[data-test-diff-task="traveller.1"]')).toBeVisible();
  });

  await test.step('the way back shows the present, live again', async () => {
    await page.locator('[data-test-diff-job="traveller"] h3 a').click();
    await expect(page).toHaveURL('/jobs/traveller');
    await expect(page.locator('[data-test-connection=live]')).toBeVisible();
    await expect(page.locator('[data-test-as-of]')).toHaveCount(0);
    await expect(muster.progress('1/1')).toBeVisible();
    await expect(page.locator('[data-test-ask=freeze]')).toBeVisible();
  });
});

test('the slider and the field choose a time, and a reload keeps it', async ({ console: muster }) => {
  const { page } = muster;
  await page.locator('[data-test-time]').click();
  const bar = page.locator('[data-test-as-of]');
  await expect(bar).toHaveAttribute('data-test-as-of', 'now');
  const slider = page.locator('[data-test-as-of-slider]');
  await page.locator('[data-test-as-of-span]').selectOption({ label: 'all there is' });
  await expect(slider).toBeEnabled();
  await slider.focus();
  await page.keyboard.press('ArrowLeft');
  await expect(page).toHaveURL(/[?&]at=/);
  await expect(bar).toContainText('As of');
  await expect(bar.locator('[data-test-as-of-record]')).toBeVisible();
  const at = await bar.getAttribute('data-test-as-of');
  await page.reload();
  await expect(bar).toHaveAttribute('data-test-as-of', at ?? '');

  // The far end is the cell's first record, when there was nothing yet.
  await page.locator('[data-test-as-of-span]').selectOption({ label: 'all there is' });
  await expect(slider).toBeEnabled();
  await slider.focus();
  await page.keyboard.press('Home');
  await expect(page.locator('[data-test-as-of-record="1"]')).toBeVisible();
  await expect(page.locator('[data-test-empty]')).toBeVisible();

  await page.locator('[data-test-as-of-field]').fill('2001-01-01T00:00:01');
  await page.locator('[data-test-as-of-go]').click();
  await expect(page.locator('[data-test-as-of-trouble]')).toContainText('The journal begins at');

  await page.locator('[data-test-now]').click();
  await expect(page).not.toHaveURL(/[?&]at=/);
  await expect(page.locator('[data-test-as-of]')).toHaveCount(0);
  await expect(page.locator('[data-test-connection=live]')).toBeVisible();
});
