// ⚡ uses: Buffer, file system, process
/**
 * Drives a headless Chromium over a pipe with the DevTools protocol: no port is opened, no package is needed.
 * What a page asks of the network is recorded, and there is none to be had but this machine's own.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import type { Readable, Writable } from "node:stream";

/** How a page is shown. */
export interface PageOptions {
  readonly scheme: "light" | "dark";
  readonly width: number;
  readonly height: number;
}

type Json = Readonly<Record<string, unknown>>;

interface Waiting {
  readonly resolve: (result: Json) => void;
  readonly reject: (error: Error) => void;
}

/** A running browser with one page. Close it. */
export class Browser {
  readonly #child: ChildProcess;
  readonly #folder: string;
  readonly #waiting = new Map<number, Waiting>();
  readonly #listeners: ((method: string, params: Json) => void)[] = [];
  #session: string | undefined;
  #nextId = 1;
  #received = "";
  /** Addresses that the page asked for, and what its console or its policy said. */
  readonly requests: string[] = [];
  readonly complaints: string[] = [];

  private constructor() {
    this.#folder = mkdtempSync(path.join(os.tmpdir(), "lambda-img-chromium-"));
    const flags = [
      ...["--headless=new", "--remote-debugging-pipe", `--user-data-dir=${this.#folder}`, "--no-first-run"],
      ...["--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking", "--disable-sync"],
      ...["--disable-component-update", "--no-sandbox", "--force-color-profile=srgb", "--hide-scrollbars"],
      // Nothing resolves: a page that wants the network gets an error, and is seen to have wanted it.
      "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
      "about:blank",
    ];
    this.#child = spawn("chromium", flags, { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
    const stop = (error: Error): void => {
      for (const { reject } of this.#waiting.values()) reject(error);
      this.#waiting.clear();
    };
    this.#child.on("error", stop);
    this.#child.on("exit", (status) => {
      stop(new Error(`chromium ended with ${status}`));
    });
    (this.#child.stdio[4] as Readable).setEncoding("utf8").on("data", (piece: string) => {
      this.#receive(piece);
    });
  }

  static async start(): Promise<Browser> {
    const browser = new Browser();
    const { targetInfos } = await browser.#ask("Target.getTargets");
    const page = (targetInfos as { type: string; targetId: string }[]).find(({ type }) => type === "page");
    const { sessionId } = await browser.#ask("Target.attachToTarget", {
      targetId: page?.targetId,
      flatten: true,
    });
    browser.#session = String(sessionId);
    for (const domain of ["Page", "Runtime", "Network", "Log", "Audits"])
      await browser.#ask(`${domain}.enable`);
    browser.#listeners.push((method, params) => {
      browser.#record(method, params);
    });
    return browser;
  }

  /** Goes to an address (`http:` or `file:`), and waits until all of the page is loaded. */
  async open(address: string, { scheme, width, height }: PageOptions): Promise<void> {
    await this.#ask("Emulation.setEmulatedMedia", {
      features: [{ name: "prefers-color-scheme", value: scheme }],
    });
    await this.#ask("Emulation.setDeviceMetricsOverride", {
      width,
      height,
      deviceScaleFactor: 1,
      mobile: false,
    });
    const loaded = this.#event("Page.loadEventFired");
    await this.#ask("Page.navigate", { url: address });
    await loaded;
  }

  /** The value of an expression in the page, as JSON carries it; that of a promise is waited for. */
  async evaluate(expression: string): Promise<unknown> {
    const { result, exceptionDetails } = await this.#ask("Runtime.evaluate", {
      expression,
      returnByValue: true,
      awaitPromise: true,
    });
    if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails));
    return (result as { value?: unknown }).value;
  }

  async pointAt(x: number, y: number): Promise<void> {
    await this.#ask("Input.dispatchMouseEvent", { type: "mouseMoved", x, y });
  }

  async press(key: string): Promise<void> {
    await this.#ask("Input.dispatchKeyEvent", { type: "keyDown", key, code: key });
    await this.#ask("Input.dispatchKeyEvent", { type: "keyUp", key, code: key });
  }

  async screenshot(): Promise<Uint8Array> {
    const { data } = await this.#ask("Page.captureScreenshot", { format: "png" });
    return Uint8Array.from(Buffer.from(data as string, "base64"));
  }

  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#session = undefined;
    await this.#ask("Browser.close").catch(() => undefined); // It ends, with or without an answer.
    await ended;
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }

  #record(method: string, params: Json): void {
    if (method === "Network.requestWillBeSent") {
      this.requests.push((params["request"] as { url: string }).url);
    }
    // What rendering says is advice about how the tests read pixels back.
    const isAdvice = (params["entry"] as { source?: string } | undefined)?.source === "rendering";
    const isComplaint =
      method === "Runtime.exceptionThrown" ||
      method === "Audits.issueAdded" ||
      (method === "Log.entryAdded" && !isAdvice);
    if (isComplaint) this.complaints.push(JSON.stringify(params));
  }

  #event(wanted: string): Promise<void> {
    return new Promise((resolve) => {
      this.#listeners.push((method) => {
        if (method === wanted) resolve();
      });
    });
  }

  #ask(method: string, params: Json = {}): Promise<Json> {
    const id = this.#nextId++;
    const sessionId = this.#session;
    const message = { id, method, params, ...(sessionId === undefined ? {} : { sessionId }) };
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      (this.#child.stdio[3] as Writable).write(`${JSON.stringify(message)}\0`);
    });
  }

  /** Messages end in a zero byte. */
  #receive(piece: string): void {
    const messages = `${this.#received}${piece}`.split("\0");
    this.#received = messages.pop() ?? "";
    for (const text of messages) {
      const { id, method, params, result, error } = JSON.parse(text) as {
        readonly [member: string]: unknown;
        readonly id?: number;
        readonly method?: string;
        readonly params?: Json;
        readonly result?: Json;
      };
      if (method !== undefined) for (const listener of this.#listeners) listener(method, params ?? {});
      const waiting = this.#waiting.get(id ?? 0);
      if (waiting === undefined) continue;
      this.#waiting.delete(id ?? 0);
      if (error === undefined) waiting.resolve(result ?? {});
      else waiting.reject(new Error(JSON.stringify(error)));
    }
  }
}
