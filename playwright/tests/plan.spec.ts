// The page of a plan against what the command line prints of the same plan. The API's answer is compared with the command in
// server/tests/plan_forms.rs.

import { expect, test } from '../console.ts';
import { api, muster as command, web } from '../fleet.ts';

interface Plan {
  id: string;
  revision: { commit: string };
}

interface Change {
  job: string;
  action: string;
  fields: { path: string }[];
}

/** The lines below a title, up to the empty line after them. */
function section(text: string, title: string): string {
  const [, rest] = text.split(`\n${title}\n`);
  if (rest === undefined) throw new Error(`there is no section ${title} in\n${text}`);
  const end = rest.indexOf('\n\n');
  return end < 0 ? rest : rest.slice(0, end + 1);
}

/** The lines of a job in a section: its own, and those that are set in below it. */
function linesOf(changes: string, head: string): string {
  const lines = changes.split('\n');
  const begin = lines.findIndex((line) => line === `  ${head}` || line.startsWith(`  ${head} `));
  if (begin < 0) throw new Error(`there is no ${head} in\n${changes}`);
  const rest = lines.slice(begin + 1);
  const end = rest.findIndex((line) => !line.startsWith('    '));
  return [lines[begin], ...rest.slice(0, end < 0 ? rest.length : end), ''].join('\n');
}

test('the page of a plan says what the command line says, byte for byte', async ({ console: muster, repository }) => {
  const { page } = muster;
  repository.write('same.yaml', web({ name: 'same', desired: 1, env: { STEP: 'one' } }));
  await repository.push('Run same');
  await muster.open('/jobs/same');
  await expect(muster.progress('1/1')).toBeVisible({ timeout: 40_000 });

  repository.change('same.yaml', 'desired: 1', 'desired: 2');
  repository.change('same.yaml', '"one"', '"two  blanks and <b>no markup</b>"');
  const folder = await repository.git('rev-parse', '--show-toplevel');
  const before = linesOf(section(await command(['plan', '--worktree', folder], 1), 'Changes'), 'update same');
  expect(before).toContain('    service.capacity.desired: 1 -> 2\n');
  expect(before).toContain('    env.STEP: one -> two  blanks and <b>no markup</b>\n');

  const commit = await repository.push('Have two of same');
  const plan = async () => {
    const { items } = await api<{ items: Plan[] }>('/plans?job=same');
    return items.find((item) => item.revision.commit === commit)?.id;
  };
  await expect.poll(plan, { timeout: 20_000 }).toBeDefined();
  const id = (await plan()) ?? '';
  const described = section(await command(['describe', 'plan', id]), 'Changes');

  await muster.open(`/plans/${id}`);
  const text = page.locator('[data-test-plan-text]');
  await expect(text).toHaveCount(1);
  await expect(text, 'it is folded up until somebody wants it').toBeHidden();
  expect(await text.textContent(), 'all changes, as `muster describe plan` prints them').toBe(described);
  expect(described, 'and as `muster plan` said before the push').toContain(before);

  await test.step('the table has the same fields, and no others', async () => {
    const { changes } = await api<{ changes: Change[] }>(`/plans/${id}`);
    for (const change of changes) {
      const panel = page.locator(`[data-test-change="${change.job}"]`);
      await expect(panel).toContainText(change.action);
      const shown = await panel.locator('[data-test-field]').evaluateAll((rows) => rows.map((row) => row.getAttribute('data-test-field')));
      expect(shown).toEqual(change.fields.map((field) => field.path));
    }
    const same = page.locator('[data-test-change=same]');
    await expect(same.locator('[data-test-field="service.capacity.desired"] td')).toHaveText(['−1', '+2']);
    await expect(same.locator('[data-test-field="env.STEP"] td')).toHaveText(['−one', '+two  blanks and <b>no markup</b>']);
  });
});
