// Two teams: what somebody may not do is not offered to them, and refused where they ask for it all the same.

import { expect, test } from '../console.ts';
import { api, send, url, web } from '../fleet.ts';

test('what a team may not do is hidden from it, and 403', async ({ console: muster, repository, browser }) => {
  const ours = { name: 'team-ours', app: 'ours' };
  const { token } = await send<{ token: string }>('/tokens', { name: ours.name });
  repository.write('ours.yaml', web({ name: 'ours-web', desired: 1 }).replace('app: journeys', `app: ${ours.app}`));
  repository.write('theirs.yaml', web({ name: 'theirs-web', desired: 1 }).replace('app: journeys', 'app: theirs'));
  const before = repository.read('policy.yaml');
  repository.write('policy.yaml', `${before}
access:
  - who: ${ours.name}
    role: owner
    apps: [${ours.app}]
`);
  const policy = await repository.push('Give the team its app');
  await muster.open('/jobs/theirs-web');
  await expect(muster.progress('1/1')).toBeVisible({ timeout: 40_000 });
  await expect(muster.page.locator('[data-test-ask=freeze]'), 'admin may everything').toBeVisible();

  const team = await (await browser.newContext()).newPage();
  await team.goto(`${url}/jobs/ours-web#token=${token}`);
  const freeze = team.locator('[data-test-ask=freeze]');
  await test.step('its own job has its buttons', async () => {
    await expect(freeze).toBeVisible({ timeout: 20_000 });
  });
  await test.step("another team's has none, and neither has the cell", async () => {
    await team.goto(`${url}/jobs/theirs-web`);
    await expect(team.locator('h1')).toContainText('theirs-web');
    await expect(team.locator('[data-test-sign-out]')).toHaveAttribute('title', /team-ours/);
    await expect(freeze).toBeHidden();
    await team.goto(`${url}/plans`);
    await expect(team.locator('[data-test-plan]').first()).toBeVisible();
    await expect(freeze).toBeHidden();
    await expect(team.locator('[data-test-rollback]:visible')).toHaveCount(0);
  });
  await test.step('who asks for it all the same is refused', async () => {
    const asked = (scope: unknown) =>
      fetch(`${url}/api/v1/freeze`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ scope, reason: 'to see whether it is refused' }),
      });
    const theirs = await asked({ scope: 'job', job: 'theirs-web' });
    expect(theirs.status).toBe(403);
    expect(await theirs.text()).toContain('it takes an owner of app `theirs`');
    expect((await asked({ scope: 'cell' })).status).toBe(403);
    const fleet = await api<{ freezes: unknown[] }>('/fleet');
    expect(fleet.freezes).toEqual([]);
  });
  await test.step('what the next policy takes away is gone from the open page', async () => {
    await team.goto(`${url}/jobs/ours-web`);
    await expect(freeze).toBeVisible({ timeout: 20_000 });
    repository.write('policy.yaml', before);
    expect(await repository.push('Take it back')).not.toBe(policy);
    await expect(freeze).toBeHidden({ timeout: 20_000 });
  });
  await team.context().close();
});
