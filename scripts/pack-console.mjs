// pack-console.mjs BOUND WEB DIST: gathers wasm-bindgen's output, web/index.html,
// web/style/*.css and web/static/ into DIST.
//
// Every file but index.html and what browsers ask for by a fixed name is renamed
// to NAME.<16 hex digits of its content>.EXT, so that it can be cached for ever;
// references to it are rewritten. boot.js, which starts the wasm, is made here:
// a strict content security policy allows no inline script. Each text and wasm
// file gets a .br and a .gz beside it (browsers take .br over HTTPS only).
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';

const [bound, web, dist] = process.argv.slice(2);
const FIXED = /^(index\.html|favicon\.ico|robots\.txt|.*\.webmanifest)$/;
const COMPRESS = /\.(js|wasm|css|html|svg|json|webmanifest|txt)$/;

/** Files below `dir` as paths relative to it. */
function walk(dir) {
  if (!fs.existsSync(dir)) return [];
  return fs
    .readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(dir, path.join(entry.parentPath ?? entry.path, entry.name)));
}

const files = new Map();
function take(name, content) {
  if (files.has(name)) throw new Error(`two files want to be web/dist/${name}`);
  files.set(name, content);
}
for (const name of walk(bound)) take(name, fs.readFileSync(path.join(bound, name)));
for (const name of walk(path.join(web, 'static'))) take(name, fs.readFileSync(path.join(web, 'static', name)));
for (const name of walk(path.join(web, 'style'))) {
  if (name.endsWith('.css')) take(name, fs.readFileSync(path.join(web, 'style', name)));
}
take(
  'boot.js',
  // web/static/load.js hears of the outcome, and loads the page anew where that may help.
  Buffer.from(`const tell = (what) => dispatchEvent(new Event(what));
import('./muster-web.js')
  .then((module) => module.default({ module_or_path: new URL('muster-web_bg.wasm', import.meta.url) }))
  .then(
    () => tell('muster-started'),
    (error) => {
      console.warn('The console did not start:', error);
      tell('muster-failed');
    },
  );
`),
);
take('index.html', fs.readFileSync(path.join(web, 'index.html')));

// What is referred to comes before what refers to it.
const RANK = [/^index\.html$/, /^boot\.js$/, /^muster-web\.js$/, /\.js$/, /\.css$/];
const rank = (name) => {
  const at = RANK.findIndex((pattern) => pattern.test(name));
  return at < 0 ? -RANK.length : -at;
};
const order = [...files.keys()].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));

const renamed = new Map();
const escape = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
function rewrite(text) {
  for (const [from, to] of renamed) {
    text = text.replace(new RegExp(`(["'(=\`]\\s*(?:\\.{0,2}/)?)${escape(from)}(?=["')?#\`\\s])`, 'g'), `$1${to}`);
  }
  return text;
}

const packed = new Map();
for (const name of order) {
  let content = files.get(name);
  if (/\.(js|css|html|webmanifest)$/.test(name)) content = Buffer.from(rewrite(content.toString('utf8')));
  if (name === 'index.html') content = Buffer.from(finish(content.toString('utf8')));
  let to = name;
  if (!FIXED.test(name)) {
    const digest = createHash('sha256').update(content).digest('hex').slice(0, 16);
    const { dir, name: stem, ext } = path.parse(name);
    to = path.join(dir, `${stem}.${digest}${ext}`);
    renamed.set(name, to);
  }
  packed.set(to, content);
}

/** Lets the browser fetch the wasm while it still parses the page. */
function finish(html) {
  const early =
    `<link rel="modulepreload" href="/${renamed.get('muster-web.js')}">\n` +
    `<link rel="preload" href="/${renamed.get('muster-web_bg.wasm')}" as="fetch" type="application/wasm" crossorigin>\n`;
  if (!html.includes(renamed.get('boot.js'))) {
    throw new Error('web/index.html starts nothing: it needs <script type="module" src="/boot.js"></script>');
  }
  if (!html.includes('</head>')) throw new Error('web/index.html has no </head>');
  return html.replace('</head>', `${early}</head>`);
}

for (const [name, content] of [...packed]) {
  if (!COMPRESS.test(name)) continue;
  packed.set(
    `${name}.br`,
    zlib.brotliCompressSync(content, { params: { [zlib.constants.BROTLI_PARAM_SIZE_HINT]: content.length } }),
  );
  packed.set(`${name}.gz`, zlib.gzipSync(content, { level: 9 }));
}

// Files that did not change keep their time, or the server would be linked anew.
for (const name of walk(dist)) if (!packed.has(name)) fs.rmSync(path.join(dist, name));
for (const [name, content] of packed) {
  const file = path.join(dist, name);
  if (fs.existsSync(file) && fs.readFileSync(file).equals(content)) continue;
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, content);
}

const kilobytes = (name) => `${(packed.get(name).length / 1024).toFixed(0)} KB`;
const wasm = renamed.get('muster-web_bg.wasm');
console.error(`muster: the console is in ${dist}: wasm ${kilobytes(wasm)}, ${kilobytes(`${wasm}.br`)} compressed`);
