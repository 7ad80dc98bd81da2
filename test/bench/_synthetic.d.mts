export interface Recipe {
  readonly sizeBytes: number;
  readonly fileCount: number;
  readonly layers: readonly RecipeLayer[];
}
export interface RecipeLayer {
  readonly seed: number;
  files(): Iterable<{ readonly name: string; readonly sizeBytes: number; readonly isText: boolean }>;
}
export const UNIT_BYTES: number;
export function recipeOfBytes(sizeBytes: number, layerCount?: number): Recipe;
export function recipeOfFiles(fileCount: number): Recipe;
export function makeSynthetic(
  recipe: Recipe,
  directory: string,
): Promise<{ readonly layout: string; readonly storedBytes: number }>;
export function tarOf(layer: RecipeLayer): Iterable<Uint8Array>;
