import { expect, test } from '../console.ts';
import { cell, link, token } from '../fleet.ts';

test('the link signs in, and its token is gone from the address', async ({ page, baseURL }) => {
  await page.goto(link('/tasks?state=running'));
  await expect(page.locator('[data-test-cell]')).toHaveText(cell);
  expect(page.url()).toBe(`${baseURL}/tasks?state=running`);
  // The session is kept: the address alone suffices from now on.
  await page.goto('/hosts');
  await expect(page.locator('tr[data-test-host]')).toHaveCount(1);
  // A script of the page cannot read it.
  expect(await page.evaluate(() => document.cookie)).toBe('');
});

test('a wrong token is refused with a reason; the right one, pasted as a link, is taken', async ({ page }) => {
  await page.goto('/#token=not-the-token');
  await expect(page.locator('[data-test-sign-in-error]')).toBeVisible();
  expect(page.url()).not.toContain('not-the-token');

  await page.locator('[data-test-token]').fill('another-wrong-one');
  await page.locator('[data-test-sign-in]').click();
  await expect(page.locator('[data-test-sign-in-error]')).toBeVisible();
  await expect(page.locator('[data-test-sign-in]')).toBeEnabled();

  await page.locator('[data-test-token]').fill(link());
  await page.locator('[data-test-token]').press('Enter');
  await expect(page.locator('[data-test-cell]')).toHaveText(cell);
});

test('signing out ends the session, in the browser and at the server', async ({ console: muster }) => {
  const { page } = muster;
  await page.locator('[data-test-sign-out]').click();
  await expect(page.locator('[data-test-token]')).toBeVisible();
  await page.goto('/jobs');
  await expect(page.locator('[data-test-token]')).toBeVisible();
  expect(await page.content()).not.toContain(token);
});

test('what is not there is said to be not there', async ({ console: muster }) => {
  await muster.open('/nowhere');
  await expect(muster.page.locator('[data-test-missing]')).toBeVisible();
  await muster.open('/jobs/nobody-asked-for-it');
  await expect(muster.page.locator('[data-test-error=missing]')).toBeVisible();
});
