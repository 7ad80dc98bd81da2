/** Platforms of images (image-spec image-index.md, "platform"; names as in Go). */

/** An operating system and a processor; the variant refines the processor (`v8` of arm64). */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}
