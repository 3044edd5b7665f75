// The page that draw.mjs takes a picture of. What Grafana's server and panel plugins do besides is written here once more, plainly: frames
// from answers of Prometheus, options from fields, a grid.

import * as chromatic from 'd3-scale-chromatic';
import { Component, useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { lastValueFrom } from 'rxjs';
import {
  FieldConfigOptionsRegistry, FieldType, applyFieldOverrides, cacheFieldDisplayNames, createTheme, dateTime, dateTimeFormat,
  formattedValueToString, getDisplayValueAlignmentFactors, getFieldDisplayName, getFieldDisplayValues, getValueFormat,
  identityOverrideProcessor, renderMarkdown, standardTransformers, standardTransformersRegistry, toDataFrame, transformDataFrame,
} from '@grafana/data';
import { BarGauge, BigValue, GlobalStyles, PanelChrome, ThemeContext, TimeSeries, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';

const { panels, title, width, ...input } = globalThis.input;
const theme = createTheme({ colors: { mode: input.theme } });
const range = { from: dateTime(input.range.from), to: dateTime(input.range.to) };
range.raw = range;
const CELL = 30;
const GAP = 8;

standardTransformersRegistry.setInit(() => {
  const known = new Map(Object.values(standardTransformers).map((each) => [each.id, each]));
  return [...known.values()].map((each) => ({ ...each, transformation: () => Promise.resolve(each) }));
});

const labelled = (format, labels) => format.replace(/\{\{\s*(.+?)\s*\}\}/g, (_, name) => labels[name] ?? '');

function series({ legendFormat, refId, result, step }) {
  return result.map(({ metric, values, value }) => {
    const { __name__: name, ...labels } = metric;
    const numbers = new Map((values ?? [value]).map(([time, number]) => [time, Number(number)]));
    // Grafana's server fills the steps that have no value, so that lines are interrupted there.
    const times = [...numbers.keys()];
    for (let at = times[0]; step && at < times.at(-1); at += step) if (!numbers.has(at)) numbers.set(at, null);
    const points = [...numbers].sort(([one], [other]) => one - other);
    const named = legendFormat && legendFormat !== '__auto' ? { displayNameFromDS: labelled(legendFormat, labels) } : {};
    return toDataFrame({
      refId,
      fields: [
        { name: 'Time', type: FieldType.time, values: points.map(([time]) => time * 1000) },
        { name: name ?? 'Value', type: FieldType.number, labels, config: named, values: points.map(([, number]) => number) },
      ],
    });
  });
}

function table({ refId, result }, only) {
  const names = [...new Set(result.flatMap(({ metric }) => Object.keys(metric)))].sort();
  const rows = result.flatMap(({ metric, values, value }) => (values ?? [value]).map(([time, number]) => ({ metric, time, number })));
  return toDataFrame({
    refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: rows.map(({ time }) => time * 1000) },
      ...names.map((name) => ({ name, type: FieldType.string, values: rows.map(({ metric }) => metric[name]) })),
      { name: only ? 'Value' : `Value #${refId}`, type: FieldType.number, values: rows.map(({ number }) => Number(number)) },
    ],
  });
}

/** What each bucket holds by itself. */
function buckets(answer) {
  const bound = ({ metric }) => Number(metric.le.replace('+Inf', 'Infinity'));
  const sorted = [...answer.result].sort((one, other) => bound(one) - bound(other));
  let below = new Map();
  return sorted.map(({ metric, values }) => {
    const points = new Map(values.map(([time, number]) => [time, Math.max(0, Number(number) - (below.get(time) ?? 0))]));
    below = new Map(values.map(([time, number]) => [time, Number(number)]));
    return { name: metric.le, points };
  });
}

const USUAL = {
  timeseries: {
    color: { mode: 'palette-classic' },
    custom: {
      axisPlacement: 'auto', drawStyle: 'line', fillOpacity: 0, lineInterpolation: 'linear', lineWidth: 1, pointSize: 5, showPoints: 'auto',
    },
  },
};

function withConfig(panel, data) {
  const { defaults, overrides } = panel.fieldConfig;
  const usual = USUAL[panel.type] ?? { color: { mode: 'thresholds' } };
  const fieldConfig = { defaults: { ...usual, ...defaults, custom: { ...usual.custom, ...defaults.custom } }, overrides };
  const properties = overrides.flatMap((override) => override.properties.map(({ id }) => id));
  const overridden = properties.filter((id) => id.startsWith('custom.')).map((id) => id.slice('custom.'.length));
  const custom = new Set([...Object.keys(fieldConfig.defaults.custom), ...overridden]);
  const standard = ['color', 'decimals', 'displayName', 'links', 'mappings', 'max', 'min', 'noValue', 'thresholds', 'unit'];
  const option = (path, isCustom) => ({
    id: isCustom ? `custom.${path}` : path, name: path, path, isCustom, process: identityOverrideProcessor, shouldApply: () => true,
  });
  const registry = new FieldConfigOptionsRegistry(() => [
    ...standard.map((path) => option(path, false)),
    ...[...custom].map((path) => option(path, true)),
  ]);
  const frames = applyFieldOverrides({
    data, fieldConfig, fieldConfigRegistry: registry, replaceVariables: (text) => text, theme, timeZone: 'browser',
  });
  cacheFieldDisplayNames(frames);
  return { fieldConfig, frames };
}

async function prepared(panel) {
  if (!panel.fieldConfig) return {};
  const tables = panel.answers.filter(({ format }) => format === 'table');
  const data = panel.answers.flatMap((answer) => (answer.format === 'table' ? [table(answer, tables.length === 1)] : series(answer)));
  const transformed = await lastValueFrom(transformDataFrame(panel.transformations ?? [], data));
  return withConfig(panel, transformed);
}

function values({ options }, { fieldConfig, frames }) {
  const sparkline = options.graphMode !== undefined && options.graphMode !== 'none';
  return getFieldDisplayValues({
    data: frames, fieldConfig, reduceOptions: options.reduceOptions, replaceVariables: (text) => text, sparkline, theme,
    timeZone: 'browser',
  });
}

function Stat({ panel, ready, width, height }) {
  const { orientation = 'auto', reduceOptions, ...options } = panel.options;
  return (
    <VizRepeater
      autoGrid getValues={() => values(panel, ready)} height={height} itemSpacing={3} orientation={orientation} renderCounter={0}
      source={ready} width={width}
      renderValue={({ value, width, height, count }) => (
        <BigValue
          {...options} count={count} height={height} theme={theme} value={value.display} width={width}
          sparkline={value.sparkline && { ...value.sparkline, timeRange: range }}
        />
      )}
    />
  );
}

function Bars({ panel, ready, width, height }) {
  const { displayMode = 'gradient', orientation = 'horizontal', showUnfilled = true, valueMode = 'color' } = panel.options;
  const { maxVizHeight = 300, minVizHeight = 16, namePlacement, text } = panel.options;
  return (
    <VizRepeater
      getAlignmentFactors={getDisplayValueAlignmentFactors} getValues={() => values(panel, ready)} height={height} itemSpacing={10}
      maxVizHeight={maxVizHeight} minVizHeight={minVizHeight} orientation={orientation}
      renderCounter={0} source={ready} width={width}
      renderValue={({ value, width, height, orientation, alignmentFactors }) => (
        <BarGauge
          alignmentFactors={alignmentFactors} display={value.view?.getFieldDisplayProcessor(value.colIndex)} displayMode={displayMode}
          field={value.field} height={height} namePlacement={namePlacement} orientation={orientation} showUnfilled={showUnfilled}
          text={text} theme={theme} value={value.display} valueDisplayMode={valueMode} width={width}
        />
      )}
    />
  );
}

function Lines({ panel, ready, width, height }) {
  return (
    <TimeSeries frames={ready.frames} height={height} legend={panel.options.legend} timeRange={range} timeZone="browser" width={width} />
  );
}

function Table({ panel, ready, width, height }) {
  const { cellHeight, showHeader = true, sortBy } = panel.options;
  return (
    <TableNG
      cellHeight={cellHeight} data={ready.frames[panel.options.frameIndex ?? 0]} enableVirtualization={false}
      fieldConfig={ready.fieldConfig} height={height} noHeader={!showHeader} sortBy={sortBy} timeRange={range} width={width}
    />
  );
}

const LEFT = 150;
const BELOW = 20;
const across = (time, width) => LEFT + ((time - input.range.from) / (input.range.to - input.range.from)) * (width - LEFT);
const label = { fill: theme.colors.text.primary, fontSize: 12 };

function Times({ width, height }) {
  const times = Array.from({ length: 6 }, (_, index) => input.range.from + ((index + 0.5) / 6) * (input.range.to - input.range.from));
  return times.map((time) => (
    <text key={time} {...label} textAnchor="middle" x={across(time, width)} y={height - 4}>
      {dateTimeFormat(time, { format: 'HH:mm:ss' })}
    </text>
  ));
}

function States({ panel, ready, width, height }) {
  const rows = ready.frames.flatMap((frame) => {
    const [time, ...fields] = frame.fields;
    return fields.map((field) => ({ name: getFieldDisplayName(field, frame, ready.frames), time, field }));
  });
  const each = (height - BELOW) / Math.max(rows.length, 1);
  const bars = rows.flatMap(({ time, field }, row) => time.values.map((at, index) => {
    const { color } = field.display(field.values[index]);
    const end = time.values[index + 1] ?? at + (at - (time.values[index - 1] ?? at));
    const [left, right] = [across(at, width), Math.min(width, across(end, width))];
    const thick = each * (panel.options.rowHeight ?? 0.9);
    const opacity = (field.config.custom.fillOpacity ?? 70) / 100;
    return field.values[index] === null ? null : (
      <rect
        key={`${row} ${at}`} fill={color} fillOpacity={opacity} height={thick} width={Math.max(right - left, 1)} x={left}
        y={row * each + (each - thick) / 2}
      />
    );
  }));
  return (
    <svg height={height} shapeRendering="crispEdges" width={width}>
      {bars}
      {rows.map(({ name }, row) => <text key={name} {...label} dominantBaseline="middle" x={0} y={(row + 0.5) * each}>{name}</text>)}
      <Times height={height} width={width} />
    </svg>
  );
}

function Heat({ panel, width, height }) {
  const { color, yAxis = {} } = panel.options;
  const rows = panel.answers.flatMap(buckets);
  const step = panel.answers[0].step * 1000;
  const most = Math.max(...rows.flatMap(({ points }) => [...points.values()]));
  const each = (height - BELOW) / Math.max(rows.length, 1);
  const unit = getValueFormat(yAxis.unit);
  const shade = (number) => {
    const share = (number / most) ** (color.scale === 'exponential' ? color.exponent : 1);
    const dark = theme.isDark !== color.reverse;
    return chromatic[`interpolate${color.scheme}`](dark ? 1 - share : share);
  };
  const place = (row) => height - BELOW - (row + 1) * each;
  return (
    <svg height={height} width={width}>
      {rows.flatMap(({ points }, row) => [...points].filter(([, number]) => number > 0).map(([time, number]) => {
        const left = across(time * 1000 - step, width);
        const wide = Math.max(across(time * 1000, width) - left - 1, 1);
        return <rect key={`${row} ${time}`} fill={shade(number)} height={each - 1} width={wide} x={left} y={place(row)} />;
      }))}
      {rows.map(({ name }, row) => (
        <text key={name} {...label} dominantBaseline="middle" x={0} y={place(row) + each / 2}>
          {name === '+Inf' ? name : formattedValueToString(unit(Number(name), yAxis.decimals))}
        </text>
      ))}
      <Times height={height} width={width} />
    </svg>
  );
}

const KINDS = { bargauge: Bars, heatmap: Heat, stat: Stat, 'state-timeline': States, table: Table, timeseries: Lines };

/** An error in one panel is shown in its place. */
class Guard extends Component {
  state = {};
  static getDerivedStateFromError(error) {
    return { error };
  }
  render() {
    return this.state.error ? <pre style={{ color: 'red' }}>{String(this.state.error.stack)}</pre> : this.props.children;
  }
}

function Content({ panel, ...size }) {
  const Kind = KINDS[panel.type];
  const errors = (panel.answers ?? []).filter(({ error }) => error);
  if (errors.length > 0) return <pre style={{ color: 'red' }}>{errors.map(({ error }) => error).join('\n')}</pre>;
  if (panel.type === 'text') {
    return <div className="markdown-html" dangerouslySetInnerHTML={{ __html: renderMarkdown(panel.options.content) }} />;
  }
  if (!Kind) return `no drawing of ${panel.type}`;
  if (panel.answers.every(({ result }) => result.length === 0)) {
    const style = { color: theme.colors.text.secondary, textAlign: 'center' };
    return <div style={style}>{panel.fieldConfig.defaults.noValue ?? 'No data'}</div>;
  }
  return <Kind panel={panel} {...size} />;
}

function Panel({ panel, ready }) {
  const { x, y, w, h } = panel.gridPos;
  const place = { left: (x / 24) * width, position: 'absolute', top: y * (CELL + GAP) + 40 };
  const size = { height: h * (CELL + GAP) - GAP, width: (w / 24) * width - GAP };
  if (panel.type === 'row') return <h5 style={{ ...place, ...size, paddingTop: 6 }}>{panel.title}</h5>;
  return (
    <div style={place}>
      <PanelChrome {...size} description={panel.description} title={panel.title}>
        {(width, height) => <Guard><Content height={height} panel={panel} ready={ready} width={width} /></Guard>}
      </PanelChrome>
    </div>
  );
}

function Page({ ready }) {
  const lines = Math.max(...panels.map(({ gridPos }) => gridPos.y + gridPos.h));
  // Grafana's charts draw after the first frame.
  useEffect(() => { setTimeout(() => { document.body.dataset.drawn = ''; }, 1500); }, []);
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <h4 style={{ padding: 8 }}>{title}</h4>
      <div style={{ height: lines * (CELL + GAP) }}>
        {panels.map((panel, index) => <Panel key={panel.id} panel={panel} ready={ready[index]} />)}
      </div>
    </ThemeContext.Provider>
  );
}

const ready = await Promise.all(panels.map(prepared));
createRoot(document.getElementById('root')).render(<Page ready={ready} />);
