// Last by its name: it kills the control plane under everybody.

import { expect, test } from '../console.ts';
import { containers, controlPlane, web } from '../fleet.ts';

test('the control plane is killed: the page says so, comes back by itself, and nothing was stopped', async ({ console: muster, repository }) => {
  const { page } = muster;
  repository.write('steady.yaml', web({ name: 'steady', desired: 2 }));
  await repository.push('Run a steady one');
  await muster.open('/jobs/steady');
  await expect(muster.healthy()).toHaveCount(2, { timeout: 40_000 });
  const before = await containers('steady');
  await muster.mark();

  // One that is back within a moment is no loss to speak of. Killed again it stays away for longer: its supervisor waits.
  await expect(async () => {
    process.kill(controlPlane(), 'SIGKILL');
    await expect(page.locator('[data-test-lost]')).toBeVisible({ timeout: 1_500 });
  }).toPass({ timeout: 30_000 });
  await expect(page.locator('[data-test-connection=lost]')).toBeVisible();
  // What was known stays in sight.
  await expect(muster.healthy()).toHaveCount(2);

  await expect(page.locator('[data-test-connection=live]')).toBeVisible({ timeout: 30_000 });
  await expect(page.locator('[data-test-lost]')).toHaveCount(0);
  await expect(muster.healthy()).toHaveCount(2);
  expect(await containers('steady')).toEqual(before);

  repository.change('steady.yaml', 'desired: 2', 'desired: 3');
  await repository.push('Three steady ones');
  await expect(muster.healthy()).toHaveCount(3, { timeout: 30_000 });
  await muster.isMarked();
});
