/** Points in time as file systems and archives keep them. */

/** Floor semantics: -1.5 s is seconds -2, nanoseconds 500,000,000. */
export interface Timestamp {
  /** Seconds since 1970, a safe integer, negative before. */
  readonly seconds: number;
  /** 0 to 999,999,999. */
  readonly nanoseconds: number;
}
