// Judges files of dashboards by Grafana's published types and by the registries of its data library; writes a line for each finding.
//
//     target/peers/node/node tests/peers/grafana/check.mjs dashboards/*.json

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const modules = join(here, '../../../target/peers/node/node_modules');
const require = createRequire(join(modules, 'any'));
const chromatic = require('d3-scale-chromatic');
const grafana = require('@grafana/data');
const tinycolor = require('tinycolor2');
const ts = require('typescript');

const files = process.argv.slice(2).map((path) => {
  const text = readFileSync(path, 'utf8');
  return { name: basename(path), text, dashboard: JSON.parse(text) };
});

/** `path` leads from the dashboard to what is wrong; the title is that of the panel on the way. */
function report({ name, dashboard }, path, what) {
  const panel = path.findLastIndex((_, at) => path[at - 1] === 'panels');
  const owner = path.slice(0, panel + 1).reduce((value, key) => value[key], dashboard);
  console.log(`${name}: ${owner.title}: ${path.slice(panel + 1).join('.')}: ${what}`);
  process.exitCode = 1;
}

/** Each file becomes a constant of the type `File`. The compiler says what does not fit, and where. */
function judgeTypes() {
  const options = {
    lib: ['lib.es2022.d.ts', 'lib.dom.d.ts'],
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    noEmit: true,
    paths: { '*': [join(modules, '*')] },
    skipLibCheck: true,
    strict: true,
    types: [],
  };
  const sources = new Map(files.map((file, index) => [join(here, `${index}.ts`), file]));
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile } = host;
  const source = ({ text }) => `import type { File } from './types';\nexport const file: File = ${text}`;
  host.fileExists = (path) => sources.has(path) || fileExists(path);
  host.readFile = (path) => (sources.has(path) ? source(sources.get(path)) : readFile(path));
  const program = ts.createProgram([...sources.keys()], options, host);
  for (const { file, start, messageText } of ts.getPreEmitDiagnostics(program)) {
    const what = ts.flattenDiagnosticMessageText(messageText, '').replace(/\s+/g, ' ');
    const judged = sources.get(file?.fileName);
    if (!judged) throw new Error(`${file?.fileName}: ${what}`);
    report(judged, pathTo(file, start), what.length > 300 ? `${what.slice(0, 300)}...` : what);
  }
}

/** The keys and indexes that lead to a place in the text. */
function pathTo(file, position) {
  const path = [];
  const descend = (node) => {
    if (position < node.pos || node.end <= position) return;
    if (ts.isPropertyAssignment(node)) path.push(node.name.text);
    if (node.parent && ts.isArrayLiteralExpression(node.parent)) path.push(node.parent.elements.indexOf(node));
    ts.forEachChild(node, descend);
  };
  descend(file);
  return path;
}

const units = new Set(grafana.getValueFormats().flatMap(({ submenu }) => submenu.map(({ value }) => value)));
const transformers = new Set(Object.values(grafana.standardTransformers).map(({ id }) => id));
const { visualization } = grafana.createTheme();
const has = (registry) => (id) => registry.getIfExists(id) !== undefined;
const reducers = grafana.fieldReducers;
const isReducer = has(reducers);

/** What types leave open: at the end of these paths only some texts mean something to Grafana. */
const words = [
  [/\b(aggregations|calcs|reducers)\.\d+$|\breducer$/, isReducer],
  [/\b(color|fillColor|fixedColor|iconColor|lineColor)$/, (name) => tinycolor(visualization.getColorByName(name)).isValid()],
  [/\b(defaults|properties\.\d+)\.color\.mode$/, has(grafana.fieldColorModeRegistry)],
  [/\bscheme$/, (name) => `interpolate${name}` in chromatic],
  [/\bunit$/, (id) => units.has(id) || /^(count|currency|prefix|si|suffix|time):./.test(id)],
  [/\bmatcher\.id$/, has(grafana.fieldMatchers)],
  [/\btransformations\.\d+\.id$/, (id) => transformers.has(id)],
  [/^refresh$|\b(interval|step)$/, grafana.rangeUtil.isValidTimeSpan],
  [/^time\.(from|to)$/, (text) => grafana.dateMath.parse(text)?.isValid()],
  // The columns of a legend are that of names and its reducers, by their names.
  [/\blegend\.sortBy$/, (name, { calcs = [] }) => name === 'Name' || calcs.some((id) => reducers.getIfExists(id)?.name === name)],
];

function judgeWords(file, path, value, owner) {
  if (typeof value === 'string') {
    const place = path.join('.');
    const isKnown = words.every(([places, means]) => !places.test(place) || means(value, owner));
    if (!isKnown) report(file, path, `Grafana knows no "${value}"`);
  } else if (path.at(-2) === 'properties') {
    judgeWords(file, [...path, value.id], value.value, value);
  } else if (value !== null && typeof value === 'object') {
    const keys = Array.isArray(value) ? value.keys() : Object.keys(value);
    for (const key of keys) judgeWords(file, [...path, key], value[key], value);
  }
}

judgeTypes();
for (const file of files) judgeWords(file, [], file.dashboard);
