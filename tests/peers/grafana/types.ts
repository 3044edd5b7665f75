// What a file of a classic dashboard may hold, put together from Grafana's published types. Grafana itself joins a panel and its plugin's
// options at run time, so its own type of a panel leaves them open; here each kind of panel that we generate has them closed.

import type { DataLink, DataTransformerInfo, standardTransformers } from '@grafana/data';
import type * as grafana from '@grafana/schema';
import type * as bargauge from '@grafana/schema/dist/types/raw/composable/bargauge/panelcfg/x/types.gen';
import type * as heatmap from '@grafana/schema/dist/types/raw/composable/heatmap/panelcfg/x/types.gen';
import type * as stat from '@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/types.gen';
import type * as statetimeline from '@grafana/schema/dist/types/raw/composable/statetimeline/panelcfg/x/types.gen';
import type * as table from '@grafana/schema/dist/types/raw/composable/table/panelcfg/x/types.gen';
import type * as text from '@grafana/schema/dist/types/raw/composable/text/panelcfg/x/types.gen';
import type * as timeseries from '@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/types.gen';

/** The same as JSON: text stands for members of enumerations. */
type Json<T> = T extends string ? `${T}` | T
  : T extends (infer Item)[] ? Json<Item>[]
  : T extends object ? { [Key in keyof T]: Json<T[Key]> }
  : T;

type None = Record<string, never>;

type Transformers = typeof standardTransformers;
type Transformer<Id, Name extends keyof Transformers> = Transformers[Name] extends DataTransformerInfo<infer Options>
  ? Omit<grafana.DataTransformerConfig, 'id' | 'options'> & { id: Id; options: Partial<Options> }
  : never;

/** Those that we use. Grafana's type takes any text and any options. */
type Transformation =
  | Transformer<'calculateField', 'calculateFieldTransformer'>
  | Transformer<'filterFieldsByName', 'filterFieldsByNameTransformer'>
  | Transformer<'groupBy', 'groupByTransformer'>
  | Transformer<'joinByField', 'joinByFieldTransformer'>
  | Transformer<'labelsToFields', 'labelsToFieldsTransformer'>
  | Transformer<'merge', 'mergeTransformer'>
  | Transformer<'organize', 'organizeFieldsTransformer'>
  | Transformer<'reduce', 'reduceTransformer'>
  | Transformer<'renameByRegex', 'renameByRegexTransformer'>
  | Transformer<'sortBy', 'sortByTransformer'>;

/** Links are open in Grafana's schema; this is the part of what its code reads that a file can hold. */
type Link = Pick<DataLink, 'oneClick' | 'targetBlank' | 'title' | 'url'>;

type Standard = Omit<grafana.FieldConfig, 'custom' | 'links'> & { links?: Link[] };

/** The fields that Grafana's editor offers overrides for. */
type Overridable =
  | 'color' | 'decimals' | 'displayName' | 'links' | 'mappings' | 'max' | 'min' | 'noValue' | 'thresholds' | 'unit';

type Property<Custom> =
  | { [Key in Overridable]: { id: Key; value: Required<Standard>[Key] } }[Overridable]
  | { [Key in keyof Custom & string]-?: { id: `custom.${Key}`; value: Required<Custom>[Key] } }[keyof Custom & string];

type FieldConfig<Custom> = {
  defaults: Standard & { custom?: Partial<Custom> };
  overrides: { matcher: grafana.MatcherConfig; properties: Property<Custom>[] }[];
};

/** The links of a panel are published as if they were those of a dashboard, but Grafana writes and reads them as it does those of data. */
type Panel<Type, Options, Custom> =
  Omit<grafana.Panel, 'fieldConfig' | 'links' | 'options' | 'transformations' | 'type'> & {
    type: Type;
    options?: Partial<Options>;
    fieldConfig?: FieldConfig<Custom>;
    links?: Link[];
    transformations?: Transformation[];
  };

type AnyPanel =
  | Panel<'bargauge', bargauge.Options, None>
  | Panel<'heatmap', heatmap.Options, heatmap.FieldConfig>
  | Panel<'stat', stat.Options, None>
  | Panel<'state-timeline', statetimeline.Options, statetimeline.FieldConfig>
  | Panel<'table', table.Options, table.FieldConfig>
  | Panel<'text', text.Options, None>
  | Panel<'timeseries', timeseries.Options, timeseries.FieldConfig>;

type Row = Omit<grafana.RowPanel, 'panels'> & { panels: AnyPanel[] };

/** The schema has the annotations of Grafana's own store only. The rest is what the data source of Prometheus reads. */
type Annotation = Omit<grafana.AnnotationQuery, 'target'> & {
  target?: grafana.DataQuery & { expr: string; interval?: string };
  expr?: string;
  step?: string;
  tagKeys?: string;
  textFormat?: string;
  titleFormat?: string;
  useValueForTime?: boolean;
};

export type File = Json<Omit<grafana.Dashboard, 'annotations' | 'panels'> & {
  annotations?: { list?: Annotation[] };
  panels: (AnyPanel | Row)[];
}>;
