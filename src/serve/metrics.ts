/** What a server counts, as metrics with names. docs/metrics.md says what each of them means. */
import { TIER_NAMES, type LookupOutcome, type TierName } from "../chunk/lookup-observer.ts";
import type { ChunkCounts } from "./chunk-guard.ts";
import type { LookupCounts, TierCounts } from "./metrics-lookups.ts";
import type { CommandCounts, RequestCounts } from "./metrics-requests.ts";
import type { Metric, MetricSample } from "./metrics-text.ts";

/** What a tier can answer, in the order of pages. */
const LOOKUP_OUTCOMES: readonly LookupOutcome[] = ["hit", "miss", "corrupt", "failed"];

/** What the system says of this process. */
export interface ProcessFigures {
  /** Seconds since 1970. */
  readonly startSeconds: number;
  readonly uptimeSeconds: number;
  /** User and system time. */
  readonly cpuSeconds: number;
  readonly residentBytes: number;
}

/** Where the numbers are. */
export interface ServerCounts {
  readonly lookups: LookupCounts;
  readonly requests: RequestCounts;
  readonly loads: () => ChunkCounts;
  readonly process: () => ProcessFigures;
}

/** All metrics, as they are now. */
export function describeMetrics(counts: ServerCounts): readonly Metric[] {
  return [
    ...lookupMetrics(counts.lookups),
    ...loadMetrics(counts.loads()),
    ...requestMetrics(counts.requests),
    ...processMetrics(counts.process()),
  ];
}

function lookupMetrics(lookups: LookupCounts): readonly Metric[] {
  const tiers = TIER_NAMES.map((tier) => ({ tier, counts: lookups.of(tier) }));
  const byOutcome = tiers.flatMap(({ tier, counts }) =>
    LOOKUP_OUTCOMES.map((outcome) => ({ labels: { tier, outcome }, latency: counts.latencies[outcome] })),
  );
  const sample = (tier: TierName, value: number): MetricSample => ({ labels: { tier }, value });
  return [
    counter(
      "lambda_img_chunk_lookups_total",
      "Lookups of chunks, by tier and by what the tier answered.",
      byOutcome.map(({ labels, latency }) => ({ labels, value: latency.count })),
    ),
    {
      name: "lambda_img_chunk_lookup_duration_seconds",
      help: "Time from the question for a chunk to the tier's answer.",
      type: "histogram",
      distributions: byOutcome,
    },
    counter(
      "lambda_img_chunk_found_bytes_total",
      "Bytes of the chunks that a tier has given.",
      tiers.map(({ tier, counts }) => sample(tier, counts.foundBytes)),
    ),
    counter(
      "lambda_img_chunk_fills_total",
      "Chunks that were put into a tier, or could not be.",
      tiers.flatMap(({ tier, counts }) => fillSamples(tier, counts)),
    ),
    counter(
      "lambda_img_chunk_filled_bytes_total",
      "Bytes of the chunks that were put into a tier.",
      tiers.map(({ tier, counts }) => sample(tier, counts.filledBytes)),
    ),
  ];
}

function fillSamples(tier: TierName, { fills }: TierCounts): readonly MetricSample[] {
  return [
    { labels: { tier, outcome: "stored" }, value: fills.stored },
    { labels: { tier, outcome: "failed" }, value: fills.failed },
  ];
}

function loadMetrics({ loaded, failed, failing, running, waiting }: ChunkCounts): readonly Metric[] {
  return [
    counter("lambda_img_chunk_loads_total", "Loads of chunks that a read waited for.", [
      { labels: { outcome: "verified" }, value: loaded },
      { labels: { outcome: "failed" }, value: failed },
    ]),
    gauge(
      "lambda_img_chunk_loads_running",
      "Loads of chunks under way, those that are read ahead included.",
      running,
    ),
    gauge(
      "lambda_img_chunk_loads_waiting",
      "Loads of chunks that a read waits for, and that wait for their turn.",
      waiting,
    ),
    gauge("lambda_img_chunks_failing", "Chunks whose last load failed.", failing),
  ];
}

function requestMetrics(requests: RequestCounts): readonly Metric[] {
  const { commands } = requests;
  const carriers = commands.filter(({ command }) => command === "read" || command === "write");
  return [
    gauge("lambda_img_nbd_connections", "NBD connections that are open.", requests.openConnectionCount),
    counter("lambda_img_nbd_connections_total", "NBD connections that were accepted or turned away.", [
      { labels: { outcome: "accepted" }, value: requests.acceptedCount },
      { labels: { outcome: "turned_away" }, value: requests.turnedAwayCount },
    ]),
    gauge("lambda_img_nbd_requests_running", "NBD requests under way.", requests.runningCount),
    counter(
      "lambda_img_nbd_requests_total",
      "NBD requests that were answered, by command.",
      commands.flatMap(outcomeSamples),
    ),
    {
      name: "lambda_img_nbd_request_duration_seconds",
      help: "Time from the header of an NBD request until its answer has left.",
      type: "histogram",
      distributions: commands.map(({ command, latency }) => ({ labels: { command }, latency })),
    },
    counter(
      "lambda_img_nbd_payload_bytes_total",
      "Bytes that NBD clients have read and written.",
      carriers.map(({ command, payloadBytes }) => ({ labels: { command }, value: payloadBytes })),
    ),
  ];
}

function outcomeSamples({ command, ok, error }: CommandCounts): readonly MetricSample[] {
  return [
    { labels: { command, outcome: "ok" }, value: ok },
    { labels: { command, outcome: "error" }, value: error },
  ];
}

/** Under the names that client libraries of Prometheus agree on. */
function processMetrics({ startSeconds, cpuSeconds, residentBytes }: ProcessFigures): readonly Metric[] {
  return [
    gauge("process_start_time_seconds", "Start of the process, in seconds since 1970.", startSeconds),
    counter("process_cpu_seconds_total", "User and system CPU time of the process.", [
      { labels: {}, value: cpuSeconds },
    ]),
    gauge("process_resident_memory_bytes", "Memory of the process that is resident.", residentBytes),
  ];
}

function counter(name: string, help: string, samples: readonly MetricSample[]): Metric {
  return { name, help, type: "counter", samples };
}

function gauge(name: string, help: string, value: number): Metric {
  return { name, help, type: "gauge", samples: [{ labels: {}, value }] };
}
