// What Grafana takes as a dashboard, by its own types.
import type { Dashboard, DataQuery, Panel } from "@grafana/schema";
import type { CloudWatchMetricsQuery } from "@grafana/schema/dist/esm/raw/composable/cloudwatch/dataquery/x/CloudWatchDataQuery_types.gen";

// JSON has the values of enumerations, not their names.
type Json<T> = T extends string
  ? `${T}`
  : T extends number
    ? `${T}` extends `${infer N extends number}` ? N : never
    : T extends (infer One)[]
      ? Json<One>[]
      : T extends object
        ? { [Key in keyof T]: Json<T[Key]> }
        : T;

// Grafana leaves the queries of a panel open, since each kind of data source has its own.
type Querying<Query> = Omit<Dashboard, "panels"> & { panels: (Omit<Panel, "targets"> & { targets: Query[] })[] };

export type OfCloudWatch = Json<Querying<CloudWatchMetricsQuery>>;
// The schema has no type for queries of Prometheus; a real one answers them.
export type OfPrometheus = Json<Querying<DataQuery & { expr: string; legendFormat?: string }>>;
