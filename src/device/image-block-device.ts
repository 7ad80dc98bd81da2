/** A disk image as a block device that cannot be written. */
import { AssertionError, LambdaImgError } from "../base/error.ts";
import type { CallOptions } from "../base/block-source.ts";
import type { BlockDevice, DeviceExtent, DeviceRange } from "./block-device.ts";
import type { ImageDevice } from "./image-device.ts";

/** The disk image, read-only. */
export class ImageBlockDevice implements BlockDevice {
  readonly sizeBytes: number;
  readonly isReadOnly = true;
  readonly #image: ImageDevice;
  #isClosed = false;

  constructor(image: ImageDevice) {
    this.sizeBytes = image.sizeBytes;
    this.#image = image;
  }

  async read(offsetBytes: number, sizeBytes: number, options?: CallOptions): Promise<Uint8Array> {
    this.#check({ offsetBytes, sizeBytes });
    return this.#image.read(offsetBytes, sizeBytes, options);
  }

  async write(offsetBytes: number, bytes: Uint8Array): Promise<void> {
    await this.#refuse({ offsetBytes, sizeBytes: bytes.length });
  }

  async writeZeroes(range: DeviceRange): Promise<void> {
    await this.#refuse(range);
  }

  async discard(range: DeviceRange): Promise<void> {
    await this.#refuse(range);
  }

  flush(): Promise<void> {
    return this.#isClosed ? Promise.reject(closed()) : Promise.resolve();
  }

  async prefetch(range: DeviceRange, options?: CallOptions): Promise<void> {
    this.#check(range);
    await this.#image.prefetch(range, options);
  }

  async extents(range: DeviceRange): Promise<readonly DeviceExtent[]> {
    this.#check(range);
    return this.#image.extents(range);
  }

  close(): Promise<void> {
    this.#isClosed = true;
    return Promise.resolve();
  }

  #refuse(range: DeviceRange): Promise<never> {
    this.#check(range);
    const message = "device: it is read-only: expected no write, found one";
    return Promise.reject(new LambdaImgError("DEVICE_READ_ONLY", message));
  }

  #check({ offsetBytes, sizeBytes }: DeviceRange): void {
    if (this.#isClosed) throw closed();
    const isWhole = Number.isSafeInteger(offsetBytes) && Number.isSafeInteger(sizeBytes);
    if (isWhole && offsetBytes >= 0 && sizeBytes >= 0 && offsetBytes + sizeBytes <= this.sizeBytes) return;
    throw new LambdaImgError(
      "DEVICE_RANGE_INVALID",
      `device: a range outside of it: expected at most ${this.sizeBytes} bytes, found ${sizeBytes} at ${offsetBytes}`,
      { details: { deviceBytes: this.sizeBytes, offsetBytes, sizeBytes } },
    );
  }
}

function closed(): AssertionError {
  return new AssertionError("a device is not used after its end");
}
