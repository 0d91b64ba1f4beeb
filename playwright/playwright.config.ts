import { defineConfig } from '@playwright/test';

// scripts/test-browser.sh starts a private stack and exports these.
const url = process.env.MUSTER_URL;
const executablePath = process.env.MUSTER_CHROMIUM;
if (!url || !executablePath) {
  throw new Error('MUSTER_URL and MUSTER_CHROMIUM are not set: run scripts/test-browser.sh');
}

export default defineConfig({
  testDir: 'tests',
  // One stack, one fleet: the tests share it, so they take turns.
  workers: 1,
  fullyParallel: false,
  // A test that passes at the second try is a bug that hides.
  retries: 0,
  forbidOnly: Boolean(process.env.CI),
  timeout: 90_000,
  expect: { timeout: 10_000 },
  reporter: [['list']],
  outputDir: 'test-results',
  use: {
    baseURL: url,
    viewport: { width: 1440, height: 900 },
    trace: 'retain-on-failure',
    screenshot: 'only-on-failure',
    launchOptions: {
      executablePath,
      args: [
        '--no-sandbox', // CI runs as root, where Chromium's sandbox does not start
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    },
  },
});
