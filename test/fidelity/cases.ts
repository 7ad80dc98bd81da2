/** Stacks of layers with their trees, written by hand from image-spec layer.md; docs/fidelity.md names the rows. */
import type { StackCase } from "../support/layer-rows.ts";
import { HARD_LINK_CASES, SYMLINK_CASES } from "./_link-cases.ts";
import { NAME_CASES, REPLACED_CASES } from "./_name-cases.ts";
import { WHITEOUT_CASES } from "./_whiteout-cases.ts";

export const STACK_CASES: readonly StackCase[] = [
  ...WHITEOUT_CASES,
  ...REPLACED_CASES,
  ...HARD_LINK_CASES,
  ...SYMLINK_CASES,
  ...NAME_CASES,
];
