// The report editor. Nothing typed is lost: every change is saved after a short pause, again and again until the server has it, and the page warns
// before it is left with unsaved text. While an input method is composing, nothing is read from the fields.
import { call, RefusedError, type Draft, type SavedDraft } from "./api";

const PAUSE_MS = 600;
const RETRY_MS = [1_000, 2_000, 5_000, 10_000];

export type SaveState = "saved" | "unsaved" | "saving" | "offline" | "refused";

export class Editor {
  private version: number;
  private savedText: string;
  private timer: number | undefined;
  private composing = false;
  private failures = 0;
  private running: Promise<void> | undefined;
  private stopped = false;

  constructor(
    private readonly path: string,
    private readonly fields: Record<keyof Draft, HTMLTextAreaElement>,
    initialVersion: number,
    private readonly onState: (state: SaveState, message: string) => void,
  ) {
    this.version = initialVersion;
    this.savedText = JSON.stringify(this.read());
    for (const field of Object.values(fields)) {
      field.addEventListener("compositionstart", () => {
        this.composing = true;
      });
      field.addEventListener("compositionend", () => {
        this.composing = false;
        this.schedule(PAUSE_MS);
      });
      field.addEventListener("input", () => {
        if (this.dirty()) this.onState("unsaved", "");
        this.schedule(PAUSE_MS);
      });
    }
    addEventListener("beforeunload", (event) => {
      if (this.dirty() && !this.stopped) event.preventDefault();
    });
    addEventListener("pagehide", () => {
      if (this.dirty() && !this.stopped) void call("PUT", this.path, this.request(), true).catch(() => undefined);
    });
  }

  read(): Draft {
    return {
      findings: this.fields.findings.value,
      impression: this.fields.impression.value,
      recommendation: this.fields.recommendation.value,
    };
  }

  dirty(): boolean {
    return JSON.stringify(this.read()) !== this.savedText;
  }

  /** The version that the server has of what stands in the fields. */
  get savedVersion(): number {
    return this.version;
  }

  /** Saves now what is not saved; rejects when the server refuses or cannot be reached. */
  async flush(): Promise<void> {
    if (this.running) await this.running;
    if (this.dirty()) await this.save();
    if (this.dirty()) throw new Error(document.body.dataset["notSaved"] ?? "not saved");
  }

  /** The case is out of our hands: no more saving. */
  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
    for (const field of Object.values(this.fields)) field.readOnly = true;
  }

  private request(): unknown {
    return { ...this.read(), base_version: this.version };
  }

  private schedule(after: number): void {
    if (this.stopped || this.composing) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.running ??= this.save().finally(() => {
        this.running = undefined;
        if (this.dirty() && !this.stopped && this.failures === 0) this.schedule(PAUSE_MS);
      });
    }, after);
  }

  private async save(): Promise<void> {
    if (this.stopped || this.composing || !this.dirty()) return;
    const text = JSON.stringify(this.read());
    this.onState("saving", "");
    try {
      const saved = await call<{ version: number }>("PUT", this.path, this.request());
      this.version = saved.version;
      this.savedText = text;
      this.failures = 0;
      this.onState(this.dirty() ? "unsaved" : "saved", "");
    } catch (error) {
      this.fail(error);
    }
  }

  private fail(error: unknown): void {
    if (error instanceof RefusedError && error.refusal.kind === "conflict" && error.refusal.stored) {
      this.adopt(error.refusal.stored, error.refusal.message);
      return;
    }
    if (error instanceof RefusedError && error.status < 500) {
      this.onState("refused", error.refusal.message);
      return;
    }
    const wait = RETRY_MS[Math.min(this.failures, RETRY_MS.length - 1)] ?? 10_000;
    this.failures += 1;
    // Without a refusal there was no answer at all; the browser's own words for that are no help.
    this.onState("offline", error instanceof RefusedError ? error.message : "");
    this.schedule(wait);
  }

  /**
   * Another window of the same reader saved meanwhile. What only they have changed is taken as it is; where both have written, theirs is put below ours:
   * a person decides what goes.
   */
  adopt(stored: SavedDraft, message: string): void {
    const base = JSON.parse(this.savedText) as Draft;
    this.version = stored.version;
    for (const key of ["findings", "impression", "recommendation"] as const) {
      const field = this.fields[key];
      const theirs = stored[key];
      if (field.value === base[key]) field.value = theirs;
      else if (theirs !== base[key] && theirs !== field.value && theirs !== "") field.value = `${field.value}\n--- ${message} ---\n${theirs}`;
    }
    this.savedText = JSON.stringify({ findings: stored.findings, impression: stored.impression, recommendation: stored.recommendation });
    if (this.dirty()) this.onState("unsaved", message);
    else this.onState("saved", "");
    this.schedule(PAUSE_MS);
  }
}
