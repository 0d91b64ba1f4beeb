// What every test begins with: a page of somebody who is signed in, a clone of the repository, and names of its own.

import { test as base, expect, type Locator, type Page } from '@playwright/test';
import { link, Repository } from './fleet.ts';

interface Fixtures {
  /** A clone of the repository that is followed. */
  repository: Repository;
  /** Signed in by the link, at the list of jobs. */
  console: Console;
  /** What the browser complained about, besides what a test expects. */
  complaints: string[];
}

export const test = base.extend<Fixtures>({
  repository: async ({}, use, info) => {
    await use(await Repository.clone(info.outputPath('specs')));
  },
  // A panic, a refused script or a broken style is a bug even where the page still looks right.
  complaints: [
    async ({ page }, use) => {
      const complaints: string[] = [];
      page.on('pageerror', (error) => complaints.push(error.message));
      page.on('console', (message) => {
        // A refused request shows here too; what it means for people is what the tests look at.
        if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) {
          complaints.push(message.text());
        }
      });
      await use(complaints);
      expect(complaints, 'what the browser complained about').toEqual([]);
    },
    { auto: true },
  ],
  console: async ({ page }, use) => {
    await page.goto(link());
    await expect(page.locator('[data-test-connection=live]')).toBeVisible();
    await use(new Console(page));
  },
});

export { expect };

/** The console's parts, by what tests may rely on. */
export class Console {
  constructor(readonly page: Page) {}

  /** Goes to a page by its address, as a reload does. */
  async open(path: string): Promise<void> {
    await this.page.goto(path);
    await expect(this.page.locator('[data-test-connection=live]')).toBeVisible();
  }

  /** Presses the button of an action, gives the reason, and confirms. */
  async ask(action: string, reason: string): Promise<void> {
    await this.page.locator(`[data-test-ask=${action}]`).click();
    const form = this.page.locator(`[data-test-ask-form=${action}]`);
    await form.getByRole('textbox').fill(reason);
    await form.locator('button[type=submit]').click();
  }

  job(name: string): Locator {
    return this.page.locator(`tr[data-test-job="${name}"]`);
  }

  task(id: string): Locator {
    return this.page.locator(`tr[data-test-task="${id}"]`);
  }

  /** Rows of tasks in a state. */
  tasks(state: string): Locator {
    return this.page.locator(`tr[data-test-task][data-test-state="${state}"]`);
  }

  healthy(): Locator {
    return this.page.locator('tr[data-test-task][data-test-state=running][data-test-healthy=true]');
  }

  /** The status at the head of a job's page. */
  status(word: string): Locator {
    return this.page.locator(`main span[data-test-status="${word}"]`);
  }

  progress(text: string): Locator {
    return this.page.locator(`main dl [data-test-progress="${text}"]`);
  }

  fact(name: string): Locator {
    return this.page.locator(`[data-test-fact="${name}"] dd`);
  }

  tab(name: string): Locator {
    return this.page.locator(`[data-test-tab="${name}"]`);
  }

  attempt(number: number): Locator {
    return this.page.locator(`[data-test-attempts] tr[data-test-attempt="${number}"]`);
  }

  /** Marks the document: a reload would lose the mark. */
  async mark(): Promise<void> {
    await this.page.evaluate(() => document.documentElement.setAttribute('data-marked', 'yes'));
  }

  /** The document is the one that was marked: it was not loaded anew since. */
  async isMarked(): Promise<void> {
    await expect(this.page.locator('html')).toHaveAttribute('data-marked', 'yes');
  }
}
