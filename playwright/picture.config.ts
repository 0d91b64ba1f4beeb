import { defineConfig } from '@playwright/test';
import tests from './playwright.config.ts';

// Pictures for people; scripts/picture.sh takes them.
export default defineConfig({ ...tests, testDir: 'pictures', timeout: 240_000 });
