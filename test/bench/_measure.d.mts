export interface Cost {
  readonly wallSeconds: number;
  readonly userSeconds: number;
  readonly systemSeconds: number;
  readonly peakBytes: number | undefined;
}
export function describeMachine(): string;
export function measuredEnvironment(): Readonly<Record<string, string>>;
export function measure(
  command: readonly string[],
  options?: { readonly env?: Readonly<Record<string, string>> },
): Promise<Cost>;
