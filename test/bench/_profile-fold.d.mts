export interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string };
  readonly children?: readonly number[];
}
export interface Profile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}
export interface FoldedProfile {
  readonly seconds: number;
  readonly groups: Readonly<Record<string, number>>;
  readonly functions: readonly { readonly name: string; readonly seconds: number }[];
}
export const GROUPS: readonly string[];
export function foldProfile(profile: Profile): FoldedProfile;
