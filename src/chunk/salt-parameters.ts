/** What the salt of a root is made of. docs/format/chunk.md, "Salt". */

/** The parameters that a store keeps for each root; all but the tenant's secret, which no store sees. */
export interface SaltParameters {
  /** The root that the chunks are written to, so that no chunk is shared between roots. */
  readonly rootId: string;
  /** Raised to end deduplication with older chunks of the same root; a safe integer from 0. */
  readonly epoch: number;
  /** The zone or region that the chunks stay in; empty where there is one. */
  readonly placement: string;
}
