// The fleet behind the console, as its users reach it: git, Docker and the public API.

import { execFile } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

function setting(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run scripts/test-browser.sh`);
  return value;
}

export const url = setting('MUSTER_URL');
export const token = setting('MUSTER_TOKEN');
export const cell = setting('MUSTER_CELL');
const home = setting('MUSTER_HOME');
const registry = setting('MUSTER_REGISTRY');

/** An example image, of the registry that the stack uses. */
export const image = (name: string) => `${registry}/example/${name}`;

/** The link that signs in, as `muster up` prints it. */
export const link = (to = '/') => `${url}${to}#token=${token}`;

/** A clone of the repository that is followed. */
export class Repository {
  private constructor(private readonly folder: string) {}

  static async clone(folder: string, author = 'Browser tests'): Promise<Repository> {
    await run('git', ['clone', '--quiet', setting('MUSTER_REPO'), folder]);
    const repository = new Repository(folder);
    await repository.git('config', 'user.name', author);
    await repository.git('config', 'user.email', `${author.toLowerCase().replaceAll(' ', '-')}@example.com`);
    return repository;
  }

  async git(...args: string[]): Promise<string> {
    return (await run('git', args, { cwd: this.folder })).stdout.trim();
  }

  write(file: string, text: string): void {
    const to = path.join(this.folder, file);
    fs.mkdirSync(path.dirname(to), { recursive: true });
    fs.writeFileSync(to, text);
  }

  read(file: string): string {
    return fs.readFileSync(path.join(this.folder, file), 'utf8');
  }

  /** Replaces a text that has to be there. */
  change(file: string, from: string | RegExp, to: string): void {
    const at = path.join(this.folder, file);
    const before = fs.readFileSync(at, 'utf8');
    const after = before.replace(from, to);
    if (after === before) throw new Error(`${file} has no ${from}`);
    fs.writeFileSync(at, after);
  }

  move(from: string, to: string): void {
    fs.mkdirSync(path.dirname(path.join(this.folder, to)), { recursive: true });
    fs.renameSync(path.join(this.folder, from), path.join(this.folder, to));
  }

  remove(file: string): void {
    fs.rmSync(path.join(this.folder, file));
  }

  /** Commits everything and pushes it; answers with the commit. */
  async push(message: string): Promise<string> {
    await this.git('add', '--all');
    await this.git('commit', '--quiet', '--message', message);
    // An earlier test's clone may have pushed since.
    await this.git('pull', '--quiet', '--rebase');
    await this.git('push', '--quiet');
    return this.git('rev-parse', 'HEAD');
  }
}

interface Web {
  name: string;
  desired: number;
  version?: 1 | 2;
  cpu?: number;
  env?: Record<string, string>;
  more?: string;
}

/** A service of the example image that answers probes and writes a line a second. */
export const web = ({ name, desired, version = 1, cpu = 0.02, env = {}, more = '' }: Web) => `apiVersion: muster/v1
kind: Job
name: ${name}
app: journeys
owner: web-team@example.com
image: ${image(`web:${version}`)}
${environment(env)}resources:
  cpu: ${cpu}
  memory: 16MiB
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
    maxSurge: 1
    maxUnavailable: 0
    minHealthyTime: 1s
${more}`;

interface Batch {
  name: string;
  size: number;
  seconds: number;
  fail?: number[];
}

/** A batch job of the example image; the tasks of `fail` fail, also when they are tried again. */
export const batch = ({ name, size, seconds, fail = [] }: Batch) => `apiVersion: muster/v1
kind: Job
name: ${name}
app: journeys
owner: data-team@example.com
image: ${image('batch:1')}
${environment({ WORK_SECONDS: String(seconds), FAIL_INDEXES: fail.join(' ') })}resources:
  cpu: 0.02
  memory: 16MiB
batch:
  size: ${size}
  retry:
    immediate:
      retries: 1
`;

/** A service whose container ends at once with code 1. */
export const crashing = (name: string) => `apiVersion: muster/v1
kind: Job
name: ${name}
app: journeys
owner: web-team@example.com
image: ${image('crash:1')}
resources:
  cpu: 0.02
  memory: 16MiB
service:
  capacity:
    desired: 1
  retry:
    exponentialBackoff:
      initial: 500ms
      max: 30s
`;

function environment(env: Record<string, string>): string {
  const lines = Object.entries(env).map(([name, value]) => `  ${name}: "${value}"\n`);
  return lines.length > 0 ? `env:\n${lines.join('')}` : '';
}

/** What the API answers. */
export async function api<T>(to: string): Promise<T> {
  const response = await fetch(`${url}/api/v1${to}`, { headers: { Authorization: `Bearer ${token}` } });
  if (!response.ok) throw new Error(`${to}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

/** Sends something to the API, as a pipeline does. */
export async function send<T = unknown>(to: string, body: unknown): Promise<T> {
  const response = await fetch(`${url}/api/v1${to}`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${to}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

/** What a `muster` command prints; `code` is what it has to end with. */
export async function muster(args: string[], code = 0): Promise<string> {
  const env = { ...process.env, NO_COLOR: '1' };
  try {
    const { stdout } = await run(setting('MUSTER_BINARY'), args, { env });
    if (code !== 0) throw new Error(`muster ${args.join(' ')} ended with 0`);
    return stdout;
  } catch (error) {
    const ended = error as { code?: unknown; stdout?: string; stderr?: string };
    if (ended.code !== code) throw error;
    return ended.stdout ?? '';
  }
}

/** The running containers of a job by their task, as Docker says. */
export async function containers(job: string): Promise<Map<string, string>> {
  const { stdout } = await run('docker', [
    'ps', '--no-trunc', '--format', '{{.Label "muster.task"}} {{.ID}}',
    '--filter', `label=muster.cell=${cell}`, '--filter', `label=muster.job=${job}`,
  ]);
  const lines = stdout.split('\n').filter(Boolean);
  return new Map(lines.map((line) => line.split(' ') as [string, string]));
}

export async function dockerKill(container: string): Promise<void> {
  await run('docker', ['kill', container]);
}

/** The process of this stack's control plane: no other has our home among its arguments or in its environment. */
export function controlPlane(): number {
  for (const entry of fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const args = fs.readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0');
      if (args[1] === 'serve' && args.some((arg) => arg.startsWith(home))) return Number(entry);
    } catch {
      // It ended while we looked.
    }
  }
  throw new Error(`no \`muster serve\` of ${home} runs`);
}
