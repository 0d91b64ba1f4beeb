// The way back: to a revision as a whole, to one job's version, and out of a deploy.

import { expect, test } from '../console.ts';
import { api, image, send, web } from '../fleet.ts';

test('one click rolls back to a listed revision, and the specs then equal that commit', async ({ console: muster, repository }) => {
  const { page } = muster;
  repository.write('back.yaml', web({ name: 'back', desired: 1 }));
  const first = await repository.push('Run back');
  await muster.open('/jobs/back');
  await expect(muster.progress('1/1')).toBeVisible({ timeout: 40_000 });
  repository.change('back.yaml', 'desired: 1', 'desired: 2');
  repository.write('back-too.yaml', web({ name: 'back-too', desired: 1 }));
  const second = await repository.push('Have two of back, and another');
  await expect(muster.progress('2/2')).toBeVisible({ timeout: 40_000 });

  await muster.open('/plans');
  await expect(page.locator(`[data-test-rollback="${second}"]`), 'what holds is nothing to go back to').toHaveCount(0);
  await page.locator(`[data-test-rollback="${first}"]`).click();
  const panel = page.locator('[data-test-panel=rollback]');
  await expect(panel.locator('[data-test-preview=there]')).toBeVisible();
  await expect(panel.locator('[data-test-change=back]')).toContainText('service.capacity.desired');
  await panel.getByRole('textbox').fill('two are too many');
  await panel.locator('button[type=submit]').click();

  const done = panel.locator('[data-test-rolled-back]');
  await expect(done).toBeVisible();
  const commit = await done.getAttribute('data-test-rolled-back');
  await test.step('the specs equal that commit, by a commit that says who and why', async () => {
    await repository.git('pull', '--quiet', '--rebase');
    expect(await repository.git('rev-parse', 'HEAD')).toBe(commit);
    expect(await repository.git('diff', '--stat', first, 'HEAD')).toBe('');
    expect(await repository.git('log', '-1', '--format=%B')).toContain('two are too many');
  });
  await done.locator('[data-test-rollback-plan]').click();
  await expect(page.locator('[data-test-plan][data-test-status=applied]')).toBeVisible({ timeout: 20_000 });
  await muster.open('/jobs/back');
  await expect(muster.progress('1/1')).toBeVisible({ timeout: 40_000 });
});

test("a job's history has a way back to each of its versions", async ({ console: muster, repository }) => {
  const { page } = muster;
  repository.write('steps.yaml', web({ name: 'steps', desired: 1, env: { STEP: 'one' } }));
  const first = await repository.push('Take the first step');
  await muster.open('/jobs/steps');
  await expect(muster.progress('1/1')).toBeVisible({ timeout: 40_000 });
  repository.change('steps.yaml', 'one', 'two');
  await repository.push('Take the second step');
  repository.write('beside-steps.yaml', web({ name: 'beside-steps', desired: 1 }));
  await repository.push('Run another beside it');

  await muster.tab('history').click();
  const version = (number: number) => page.locator(`[data-test-version="${number}"]`);
  await expect(version(2)).toBeVisible({ timeout: 20_000 });
  await expect(version(2).locator('[data-test-rollback]')).toHaveCount(0);
  await version(1).locator('[data-test-rollback]').click();
  const panel = page.locator('[data-test-panel=rollback]');
  await expect(panel.locator('[data-test-change=steps]')).toContainText('env.STEP');
  await expect(panel.locator('[data-test-change="beside-steps"]'), 'only of this job').toHaveCount(0);
  await panel.getByRole('textbox').fill('the second step was wrong');
  await panel.locator('button[type=submit]').click();
  await expect(panel.locator('[data-test-rolled-back]')).toBeVisible();

  await repository.git('pull', '--quiet', '--rebase');
  expect(await repository.git('diff', '--stat', first, 'HEAD', '--', 'steps.yaml')).toBe('');
  expect(await repository.git('ls-files', 'beside-steps.yaml')).toBe('beside-steps.yaml');
  await expect(version(3)).toBeVisible({ timeout: 20_000 });
});

test('a deploy is listed, followed, and taken back with a reason', async ({ console: muster, repository }) => {
  const { page } = muster;
  repository.write('shipped.yaml', web({ name: 'shipped', desired: 1 }));
  await repository.push('Run shipped');
  await muster.open('/jobs/shipped');
  await expect(muster.progress('1/1')).toBeVisible({ timeout: 40_000 });

  const id = `shipped-${Date.now()}`;
  // A version that never gets healthy: the one before serves on, and the deploy goes on waiting.
  await send(`/deploys/${id}`, { job: 'shipped', image: image('web:2'), env: { UNHEALTHY: '1' }, reason: 'to see it taken back' });
  await muster.open('/deploys');
  const row = page.locator(`tr[data-test-deploy="${id}"]`);
  await expect(row).toHaveAttribute('data-test-status', 'running');
  await row.locator('a').first().click();
  await expect(muster.fact('Why')).toHaveText('to see it taken back');
  await expect(muster.fact('Image')).toContainText('web:2');
  await expect(page.locator('[data-test-deploy-plan]')).toBeVisible({ timeout: 20_000 });
  await muster.ask('cancel', 'it does not answer');
  await expect(page.locator(`[data-test-deploy="${id}"]`)).toHaveAttribute('data-test-status', 'canceled', { timeout: 20_000 });
  await expect(page.locator('[data-test-ask=cancel]')).toHaveCount(0);

  const deploy = await api<{ status: string; taken_back: string | null }>(`/deploys/${id}`);
  expect(deploy.status).toBe('CANCELED');
  await repository.git('pull', '--quiet', '--rebase');
  expect(await repository.git('show', 'HEAD:shipped.yaml')).toContain('web:1');
  await muster.open('/jobs/shipped');
  await expect(muster.progress('1/1')).toBeVisible({ timeout: 40_000 });
});
