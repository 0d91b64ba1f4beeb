// From a commit to running containers, and back: a service's life, seen in the browser.

import { expect, test } from '../console.ts';
import { containers, dockerKill, web } from '../fleet.ts';

test('a service is pushed, updated, scaled, moved and removed', async ({ console: muster, repository }) => {
  test.setTimeout(150_000);
  const { page } = muster;
  const file = 'services/storefront.yaml';

  await test.step('three healthy tasks appear, without a reload', async () => {
    await muster.mark();
    repository.write(file, web({ name: 'storefront', desired: 3 }));
    const commit = await repository.push('Run the storefront');
    await expect(page.locator('[data-test-revision]')).toHaveAttribute('data-test-revision', commit);
    await muster.job('storefront').locator('a').first().click();
    await expect(muster.healthy()).toHaveCount(3, { timeout: 40_000 });
    await expect(muster.status('running')).toBeVisible();
    expect((await containers('storefront')).size).toBe(3);
  });

  await test.step('a new image is rolled out, never with fewer than three healthy', async () => {
    // Each number that the page shows is kept, also after the reload, so that a short dip is seen too.
    const seen: string[] = [];
    await page.exposeFunction('saw', (progress: string) => seen.at(-1) === progress || seen.push(progress));
    const watch = () => {
      const look = () => {
        const progress = document.querySelector('main dl [data-test-progress]')?.getAttribute('data-test-progress');
        if (progress) (window as unknown as { saw(progress: string): void }).saw(progress);
      };
      new MutationObserver(look).observe(document, { attributes: true, childList: true, subtree: true });
    };
    await page.addInitScript(watch);
    await page.evaluate(watch);
    repository.change(file, 'web:1', 'web:2');
    await repository.push("Take the storefront's second version");
    await expect(page.locator('[data-test-rollout="2"]')).toBeVisible();
    await expect(page.locator('[data-test-rollout-updated="2"]')).toBeVisible({ timeout: 40_000 });

    await test.step('a reload in the middle shows the same part of the page', async () => {
      await muster.tab('history').click();
      await expect(page.locator('[data-test-version="2"]')).toBeVisible();
      await page.reload();
      await expect(page).toHaveURL('/jobs/storefront?tab=history');
      await expect(page.locator('[data-test-version="2"] [data-test-field=image]')).toBeVisible();
      await muster.tab('tasks').click();
    });

    await expect(page.locator('[data-test-rollout]')).toHaveCount(0, { timeout: 60_000 });
    await expect(muster.status('running')).toBeVisible();
    await expect(muster.healthy()).toHaveCount(3);
    await expect(muster.fact('Version')).toHaveText('2');
    expect(seen, 'the fourth task was seen').toContain('4/3');
    expect(seen.filter((progress) => Number.parseInt(progress) < 3), 'fewer than three healthy').toEqual([]);
  });

  await test.step('it is scaled up and down', async () => {
    repository.change(file, 'desired: 3', 'desired: 5');
    await repository.push('Five storefronts');
    await expect(muster.healthy()).toHaveCount(5, { timeout: 30_000 });
    await expect(muster.progress('5/5')).toBeVisible();
    repository.change(file, 'desired: 5', 'desired: 2');
    await repository.push('Two storefronts');
    await expect(muster.progress('2/2')).toBeVisible({ timeout: 30_000 });
    await expect(muster.healthy()).toHaveCount(2, { timeout: 30_000 });
  });

  const before = await containers('storefront');

  await test.step('its file is moved: the same containers run on', async () => {
    repository.move(file, 'shop/front.yaml');
    const commit = await repository.push("Move the storefront's document");
    await expect(page.locator('[data-test-revision]')).toHaveAttribute('data-test-revision', commit);
    await expect(muster.fact('Document')).toContainText('shop/front.yaml');
    for (const [task, container] of before) {
      await muster.open(`/tasks/${task}`);
      await expect(muster.fact('Container id')).toContainText(container);
    }
  });

  await test.step('its file is removed: it runs on, undeclared', async () => {
    repository.remove('shop/front.yaml');
    await muster.open('/jobs?app=journeys');
    await repository.push('Remove the storefront');
    await expect(muster.job('storefront').locator('[data-test-undeclared]')).toBeVisible();
    await expect(muster.job('storefront')).toHaveAttribute('data-test-status', 'running');
    await muster.job('storefront').locator('a').first().click();
    await expect(page.locator('[data-test-notice=wait]')).toBeVisible();
    await expect(muster.healthy()).toHaveCount(2);
    expect(await containers('storefront')).toEqual(before);
  });
});

test('a killed container is replaced, and the task tells of it', async ({ console: muster, repository }) => {
  const { page } = muster;
  repository.write('killed.yaml', web({ name: 'killed', desired: 1 }));
  await repository.push('Run one that is killed');
  await muster.open('/tasks/killed.0');
  const head = page.locator('[data-test-task="killed.0"]');
  await expect(head).toHaveAttribute('data-test-healthy', 'true', { timeout: 40_000 });

  const container = (await containers('killed')).get('killed.0');
  expect(container).toBeDefined();
  await muster.mark();
  await dockerKill(container!);

  await expect(muster.attempt(2)).toBeVisible({ timeout: 20_000 });
  await expect(head).toHaveAttribute('data-test-healthy', 'true', { timeout: 20_000 });
  await expect(muster.fact('Container id')).not.toContainText(container!);
  await expect(muster.attempt(1)).toContainText(/signal 9|137/);
  await expect(page.locator('[data-test-timeline] [data-test-event=attempt_placed]')).toHaveCount(2);
  await muster.isMarked();
});
