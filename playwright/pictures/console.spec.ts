// docs/console.png: a service in the middle of a rolling update, with real containers behind it.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from '../console.ts';
import { image, Repository } from '../fleet.ts';

const picture = fileURLToPath(new URL('../../docs/console.png', import.meta.url));

/** The example image under a name and version as people would give it. */
function published(version: 1 | 2, name: string): string {
  const to = image('').replace('example/', `shop/${name}`);
  execFileSync('docker', ['tag', image(`web:${version}`), to]);
  execFileSync('docker', ['push', '--quiet', to]);
  return to;
}

const service = (name: string, owner: string, tier: string, from: string, desired: number) => `apiVersion: muster/v1
kind: Job
name: ${name}
app: shop
stack: prod
owner: ${owner}@example.com
tier: ${tier}
labels:
  team: ${owner.replace('-team', '')}
image: ${from}
env:
  QUIET: "1"
resources:
  cpu: 0.05
  memory: 32MiB
ports:
  - name: http
    port: 8080
readiness:
  http:
    port: http
    path: /healthz
  interval: 500ms
service:
  capacity:
    desired: ${desired}
  rollout:
    maxSurge: 2
    maxUnavailable: 0
    minHealthyTime: 4s
`;

test('the console', async ({ console: muster, page }, info) => {
  const repository = await Repository.clone(info.outputPath('fleet'), 'Shop team');
  const [before, after] = [published(1, 'storefront:4.17.2'), published(2, 'storefront:4.18.0')];
  // While the example's batch job runs, taking the examples away would stop too much at once and be held.
  await expect(muster.job('nightly')).toHaveAttribute('data-test-status', 'succeeded', { timeout: 90_000 });
  for (const example of ['jobs/web.yaml', 'jobs/crash.yaml', 'jobs/nightly.yaml']) repository.remove(example);
  repository.change('policy.yaml', 'prune: false', 'prune: true');
  repository.write('prod/storefront.yaml', service('storefront', 'shop-team', 'critical', before, 11));
  repository.write('prod/checkout.yaml', service('checkout', 'payments-team', 'critical', published(1, 'checkout:2.9.0'), 4));
  await repository.push('Run the shop');
  await muster.open('/jobs/storefront');
  await expect(muster.progress('11/11')).toBeVisible({ timeout: 90_000 });
  await expect(page.locator('[data-test-alerts]')).toHaveAttribute('data-test-alerts', '0', { timeout: 60_000 });

  repository.change('prod/storefront.yaml', before, after);
  await repository.push('Storefront 4.18.0: faster search');
  // Two tasks at a time: not every number is seen.
  const half = [5, 6, 7, 8].map((updated) => `[data-test-rollout-updated="${updated}"]`).join(', ');
  await expect(page.locator(half)).toBeVisible({ timeout: 90_000 });
  await expect(muster.tasks('starting').or(muster.tasks('stopping')).first()).toBeVisible();
  await page.mouse.move(0, 0);
  await page.screenshot({ path: picture, animations: 'disabled' });
  expect(fs.statSync(picture).size).toBeLessThan(300_000);
});
