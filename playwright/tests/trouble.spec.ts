// What is not as it was asked for, and the reason beside it.

import { expect, test } from '../console.ts';
import { batch, crashing, web } from '../fleet.ts';

test('a crash loop is named so, with when the next attempt comes', async ({ console: muster, repository }) => {
  repository.write('crashing.yaml', crashing('crashing'));
  await repository.push('Run one that crashes');
  await expect(muster.job('crashing')).toHaveAttribute('data-test-status', 'crash loop', { timeout: 60_000 });
  await muster.open('/tasks/crashing.0');
  await expect(muster.page.locator('[data-test-reason]')).toContainText('crash loop', { timeout: 30_000 });
  await expect(muster.fact('Exit')).toHaveText('exit code 1');
  await expect(muster.page.locator('[data-test-alerts]')).not.toHaveAttribute('data-test-alerts', '0');
  await muster.page.locator('[data-test-alerts]').click();
  await expect(muster.page.locator('[data-test-panel=alerts] a[href="/tasks/crashing.0"], [data-test-panel=alerts] a[href="/jobs/crashing"]').first()).toBeVisible();
});

test('a task that no host can take says why, and runs once it asks for less', async ({ console: muster, repository }) => {
  repository.write('greedy.yaml', web({ name: 'greedy', desired: 1, cpu: 900 }));
  await repository.push('Ask for too much');
  await expect(muster.job('greedy')).toHaveAttribute('data-test-status', 'blocked');
  await muster.open('/tasks/greedy.0');
  await expect(muster.page.locator('[data-test-blocked]')).toContainText('900 CPUs');
  const nearest = muster.page.locator('[data-test-near]');
  await expect(nearest).toHaveCount(1);
  await expect(nearest).toContainText('Add a larger host, or ask for less in resources.cpu');

  repository.change('greedy.yaml', 'cpu: 900', 'cpu: 0.02');
  await repository.push('Ask for less');
  await expect(muster.page.locator('[data-test-task="greedy.0"][data-test-healthy=true]')).toBeVisible({ timeout: 40_000 });
  await expect(muster.page.locator('[data-test-blocked]')).toHaveCount(0);
  await expect(nearest).toHaveCount(0);
});

test('a document that does not hold is refused alone, with its line', async ({ console: muster, repository }) => {
  await muster.open('/plans');
  repository.write('mistaken.yaml', web({ name: 'mistaken', desired: 1 }).replace('memory:', 'memroy:'));
  repository.write('beside.yaml', web({ name: 'beside', desired: 1 }));
  await repository.push('Misspell a field');
  const refused = muster.page.locator('[data-test-refused^="mistaken.yaml:"]');
  await expect(refused).toContainText('memroy');
  await expect(refused).toContainText('memory');
  await muster.open('/jobs');
  await expect(muster.job('beside')).toHaveAttribute('data-test-status', 'running', { timeout: 40_000 });
  await expect(muster.job('mistaken')).toHaveCount(0);

  repository.change('mistaken.yaml', 'memroy:', 'memory:');
  await repository.push('Spell it right');
  await expect(muster.job('mistaken')).toHaveAttribute('data-test-status', 'running', { timeout: 40_000 });
  await muster.open('/plans');
  await expect(muster.page.locator('tr[data-test-plan]').first()).toBeVisible();
  await expect(refused).toHaveCount(0);
});

test('a plan that takes too much away is held, shown, and stops nothing', async ({ console: muster, repository }) => {
  const { page } = muster;
  repository.write('crowd.yaml', web({ name: 'crowd', desired: 12, cpu: 0.01, env: { QUIET: '1' } }));
  await repository.push('Run a crowd');
  await muster.open('/jobs/crowd');
  await expect(muster.progress('12/12')).toBeVisible({ timeout: 60_000 });

  repository.change('crowd.yaml', 'desired: 12', 'desired: 1');
  await repository.push('Send the crowd home');
  await expect(page.locator('[data-test-held]')).toBeVisible();
  await test.step('in a narrow window nothing lies over it', async () => {
    await page.setViewportSize({ width: 900, height: 900 });
    const [held, jump] = await Promise.all(['[data-test-held]', '[data-test-jump-field]'].map((one) => page.locator(one).boundingBox()));
    expect(held!.x + held!.width).toBeLessThanOrEqual(jump!.x);
    await page.setViewportSize({ width: 1440, height: 900 });
  });
  await page.locator('[data-test-held]').click();
  await expect(page.locator('[data-test-plan][data-test-status=held]')).toBeVisible();
  // What the tests before took away within ten minutes counts with its 11.
  await expect(page.locator('[data-test-holds]')).toContainText(/It would stop (1[1-9]|2\d) of \d+ running tasks/);
  await expect(page.locator('[data-test-change=crowd]')).toBeVisible();
  await muster.open('/jobs/crowd');
  await expect(muster.progress('12/12')).toBeVisible();

  // A commit that asks for less at once takes the held plan's place.
  repository.change('crowd.yaml', 'desired: 1', 'desired: 11');
  await repository.push('Send one of the crowd home');
  await expect(page.locator('[data-test-held]')).toHaveCount(0);
  await expect(muster.progress('11/11')).toBeVisible({ timeout: 30_000 });

  await test.step('refused by a person, a plan is done with', async () => {
    repository.change('crowd.yaml', 'desired: 11', 'desired: 2');
    await repository.push('Send most of the crowd home');
    await page.locator('[data-test-held]').click();
    await muster.ask('refuse', 'they are still needed');
    await expect(page.locator('[data-test-plan][data-test-status=refused]')).toBeVisible();
    const held = page.locator('[data-test-was-held]');
    await expect(held.locator('[data-test-holds] li')).not.toHaveCount(0);
    await expect(held.locator('[data-test-refusal]')).toContainText(/Refused by admin .*: they are still needed/);
    await expect(held.locator('[data-test-refusal] time')).toHaveAttribute('title', /\d{4}/);
    await expect(page.locator('[data-test-held]')).toHaveCount(0);
    await muster.open('/jobs/crowd');
    await expect(muster.progress('11/11')).toBeVisible();
  });

  await test.step('approved by a person, a plan goes ahead', async () => {
    repository.change('crowd.yaml', 'desired: 2', 'desired: 3');
    await repository.push('Send nearly all of the crowd home');
    await page.locator('[data-test-held]').click();
    await muster.ask('approve', 'the party is over');
    await expect(page.locator('[data-test-plan][data-test-status=applied]')).toBeVisible();
    const held = page.locator('[data-test-was-held]');
    await expect(held.locator('[data-test-holds] li')).not.toHaveCount(0);
    await expect(held.locator('[data-test-approval=admin]')).toContainText(/Approved by admin .*: the party is over/);
    await expect(held.locator('[data-test-approval=admin] time')).toHaveAttribute('title', /\d{4}/);
    await expect(page.locator('[data-test-held]')).toHaveCount(0);
    await muster.open('/jobs/crowd');
    await expect(muster.progress('3/3')).toBeVisible({ timeout: 40_000 });
  });
});

test('a frozen job is left alone and catches up when it is resumed', async ({ console: muster, repository }) => {
  const { page } = muster;
  repository.write('still.yaml', web({ name: 'still', desired: 1, cpu: 0.01, env: { QUIET: '1' } }));
  await repository.push('Run still');
  await muster.open('/jobs/still');
  await expect(muster.progress('1/1')).toBeVisible({ timeout: 40_000 });
  await muster.ask('freeze', 'we look at it');
  await expect(page.locator('[data-test-freeze="job still"]')).toContainText('we look at it');
  await expect(page.locator('[data-test-frozen]')).toBeVisible();

  repository.change('still.yaml', 'desired: 1', 'desired: 2');
  await repository.push('Have two of still');
  await muster.open('/plans');
  const latest = page.locator('tr[data-test-plan]').first();
  await expect(latest).toContainText('Have two of still');
  await latest.locator('a').first().click();
  await expect(page.locator('[data-test-withheld=still]')).toContainText('we look at it');
  await muster.open('/jobs/still');
  await expect(muster.progress('1/1')).toBeVisible();

  await muster.ask('resume', 'we have seen enough');
  await expect(muster.progress('2/2')).toBeVisible({ timeout: 40_000 });
  await expect(page.locator('[data-test-frozen]')).toHaveCount(0);
});

test('a batch job finishes each of its tasks once; the failing ones say so', async ({ console: muster, repository }) => {
  const { page } = muster;
  repository.write('parts.yaml', batch({ name: 'parts', size: 20, seconds: 1, fail: [3, 7] }));
  await repository.push('Work on twenty parts');
  await expect(muster.job('parts')).toBeVisible();
  await muster.job('parts').locator('a').first().click();
  await expect(muster.status('failed')).toBeVisible({ timeout: 80_000 });
  await expect(muster.progress('18/20')).toBeVisible();
  await expect(muster.fact('Failed')).toHaveText('2');
  await expect(muster.tasks('finished')).toHaveCount(20);

  await test.step("a finished attempt's log is there to read", async () => {
    await muster.task('parts.3').locator('a').first().click();
    await expect(muster.attempt(2)).toBeVisible();
    await expect(muster.attempt(3)).toHaveCount(0);
    await expect(muster.fact('Exit')).toHaveText('exit code 1');
    await expect(page.locator('[data-test-log-line]').last()).toContainText('index 3 ends with exit code 1');
    await expect(page.locator('[data-test-log-flow]')).toHaveAttribute('data-test-log-flow', 'ended');
  });
});
