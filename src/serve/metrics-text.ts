/**
 * Metrics in the text format of Prometheus, version 0.0.4.
 * https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
 */
import type { LatencyHistogram } from "./_latency-histogram.ts";

/** What a page of metrics is sent as. */
export const METRICS_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Names and values that tell the series of one metric apart; both come from fixed lists, never from clients. */
export type MetricLabels = Readonly<Record<string, string>>;

/** One number. */
export interface MetricSample {
  readonly labels: MetricLabels;
  readonly value: number;
}

/** One distribution. */
export interface MetricDistribution {
  readonly labels: MetricLabels;
  readonly latency: LatencyHistogram;
}

/** A metric with all its series. */
export type Metric = { readonly name: string; readonly help: string } & (
  | { readonly type: "counter" | "gauge"; readonly samples: readonly MetricSample[] }
  | { readonly type: "histogram"; readonly distributions: readonly MetricDistribution[] }
);

/** Upper bounds in seconds: 1 µs to 100 s, three to a decade. */
const BOUNDS_SECONDS: readonly number[] = [
  ...[-6, -5, -4, -3, -2, -1, 0, 1].flatMap((power) => [1, 2, 5].map((digit) => Number(`${digit}e${power}`))),
  100,
];

/** The text of all metrics, in their order. */
export function encodeMetrics(metrics: readonly Metric[]): string {
  return metrics.map(encodeMetric).join("");
}

function encodeMetric(metric: Metric): string {
  const { name, help, type } = metric;
  const head = `# HELP ${name} ${help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}\n# TYPE ${name} ${type}\n`;
  const lines =
    metric.type === "histogram"
      ? metric.distributions.flatMap((distribution) => distributionLines(name, distribution))
      : metric.samples.map(({ labels, value }) => line(name, labels, value));
  return head + lines.join("");
}

function distributionLines(name: string, { labels, latency }: MetricDistribution): string[] {
  const counts = latency.countsUpTo(BOUNDS_SECONDS);
  return [
    ...BOUNDS_SECONDS.map((bound, index) =>
      line(`${name}_bucket`, { ...labels, le: String(bound) }, counts[index] ?? 0),
    ),
    line(`${name}_bucket`, { ...labels, le: "+Inf" }, latency.count),
    line(`${name}_sum`, labels, latency.sumSeconds),
    line(`${name}_count`, labels, latency.count),
  ];
}

function line(name: string, labels: MetricLabels, value: number): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escapeLabel(text)}"`);
  return `${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${value}\n`;
}

function escapeLabel(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
