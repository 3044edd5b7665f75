// Draws a dashboard with the data of a Prometheus into a picture, with the components of Grafana's own library, for people to look at. No
// test runs it. It needs Node.js 21 and chromium; then
//
//     npm install --ignore-scripts --loglevel error --prefix tests/peers/grafana/draw
//     node tests/peers/grafana/draw/draw.mjs dashboards/memory-overview.json http://127.0.0.1:9090 overview.png job=leaky from=now-15m
//
// Arguments after the picture are values of variables (without one, a variable has all values; with commas, several), and
// from, to: the range, else that of the dashboard; scrape=15s: the interval that the data source is said to have; theme=light; width=1600.
// What Grafana draws by plugins that are in no package, heat maps and state timelines, is drawn plainly. Rows are drawn opened;
// annotations and repeated panels are not drawn.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';
import { chromium } from 'playwright-core';

const { dateMath, rangeUtil } = createRequire(import.meta.url)('@grafana/data');
const here = fileURLToPath(new URL('.', import.meta.url));
const [file, prometheus, picture, ...rest] = process.argv.slice(2);
const settings = Object.fromEntries(rest.map((text) => text.split(/=(.*)/s)));
const dashboard = JSON.parse(readFileSync(file, 'utf8'));
const width = Number(settings.width ?? 1600);
const scrape = settings.scrape ?? '15s';
const range = { from: dateMath.parse(settings.from ?? dashboard.time.from), to: dateMath.parse(settings.to ?? dashboard.time.to) };
range.raw = range;

const variables = {};
for (const { name, allValue = '.+' } of dashboard.templating.list) {
  const values = settings[name]?.split(',');
  variables[name] = values ? (values.length > 1 ? `(${values.join('|')})` : values[0]) : allValue;
}

function replaced(text, names) {
  return text.replace(/\$\{(\w+)(?::\w+)?\}|\$(\w+)/g, (whole, braced, bare) => names[braced ?? bare] ?? whole);
}

/** All panels where they stand once every row is opened. */
function placed(panels) {
  const all = [];
  let lower = 0;
  for (const panel of panels) {
    const at = panel.gridPos.y + lower;
    all.push({ ...panel, panels: undefined, gridPos: { ...panel.gridPos, y: at } });
    const inner = panel.panels ?? [];
    if (inner.length === 0) continue;
    const top = Math.min(...inner.map(({ gridPos }) => gridPos.y));
    for (const each of inner) all.push({ ...each, gridPos: { ...each.gridPos, y: each.gridPos.y - top + at + 1 } });
    lower += Math.max(...inner.map(({ gridPos }) => gridPos.y + gridPos.h)) - top;
  }
  return all;
}

async function ask(path, parameters) {
  const response = await fetch(`${prometheus}/api/v1/${path}?${new URLSearchParams(parameters)}`);
  const answer = await response.json();
  if (answer.status !== 'success') throw new Error(answer.error);
  return answer.data.result;
}

/** Intervals as Grafana has them: a point for each pixel, not more often than there is data. */
async function answer(panel, target) {
  const least = target.interval ?? panel.interval ?? scrape;
  const points = panel.maxDataPoints ?? Math.round((panel.gridPos.w / 24) * width);
  const { interval, intervalMs } = rangeUtil.calculateInterval(range, points, least);
  const apart = rangeUtil.intervalToMs(least);
  const length = range.to.diff(range.from);
  const query = replaced(target.expr, {
    ...variables,
    __interval: interval,
    __interval_ms: intervalMs,
    __range: `${Math.round(length / 1000)}s`,
    __range_s: Math.round(length / 1000),
    __range_ms: length,
    __rate_interval: `${Math.max(intervalMs + apart, 4 * apart) / 1000}s`,
  });
  try {
    if (target.instant && !target.range) return { result: await ask('query', { query, time: range.to.unix() }) };
    const step = Math.ceil(intervalMs / 1000);
    const whole = (time) => Math.floor(time.unix() / step) * step;
    return { step, result: await ask('query_range', { query, start: whole(range.from), end: whole(range.to), step }) };
  } catch (error) {
    return { error: error.message, result: [] };
  }
}

const panels = placed(dashboard.panels);
for (const panel of panels) {
  panel.title = replaced(panel.title ?? '', variables);
  const targets = (panel.targets ?? []).filter(({ hide }) => !hide);
  panel.answers = await Promise.all(targets.map(async (target) => ({ ...target, ...(await answer(panel, target)) })));
  for (const { error, refId } of panel.answers) if (error) console.error(`${panel.title}: ${refId}: ${error}`);
}

const { outputFiles } = await build({
  entryPoints: [join(here, 'page.jsx')],
  bundle: true,
  define: { 'process.env.NODE_ENV': '"production"', global: 'globalThis' },
  format: 'esm',
  jsx: 'automatic',
  loader: { '.svg': 'dataurl', '.ttf': 'dataurl', '.woff': 'dataurl', '.woff2': 'dataurl' },
  logLevel: 'error',
  outdir: join(here, 'built'),
  splitting: true,
  write: false,
});
const input = {
  panels,
  range: { from: range.from.valueOf(), to: range.to.valueOf() },
  theme: settings.theme ?? 'dark',
  title: dashboard.title,
  width,
};
const script = `globalThis.input = ${JSON.stringify(input).replaceAll('<', '\\u003c')}`;
const html = `<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="/page.css"><div id="root"></div><script>${script}</script>
<script type="module" src="/page.js"></script>`;
const served = new Map(outputFiles.map(({ path, contents }) => [path.slice(join(here, 'built').length), Buffer.from(contents)]));
served.set('/', Buffer.from(html));
const kinds = { '.js': 'text/javascript', '.css': 'text/css', '': 'text/html' };

const executablePath = execFileSync('sh', ['-c', 'command -v chromium']).toString().trim();
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
try {
  const page = await browser.newPage({ viewport: { width, height: 900 } });
  page.on('pageerror', (error) => console.error(`page: ${error.message}`));
  await page.route('**/*', (route) => {
    const path = new URL(route.request().url()).pathname;
    const icon = join(here, 'node_modules/@grafana/ui/dist', path.replace('/build/', '/'));
    if (served.has(path)) return route.fulfill({ body: served.get(path), contentType: kinds[extname(path)] });
    return existsSync(icon) ? route.fulfill({ path: icon }) : route.abort();
  });
  await page.goto('http://draw.test/');
  await page.waitForSelector('body[data-drawn]', { timeout: 60_000 });
  // Tables are not drawn where nobody sees them.
  const height = await page.evaluate(() => document.documentElement.scrollHeight);
  await page.setViewportSize({ width, height });
  await page.waitForTimeout(500);
  await page.screenshot({ path: picture });
} finally {
  await browser.close();
}
