// A series as a scrollable stack of images rendered by the server.
//
// What is on the screen and what stands beside it always belong together: image and caption change in one step, when the image has arrived.
import type { Series } from "./api";

export interface Window {
  center: number;
  width: number;
}

const AHEAD = 24;
const PARALLEL = 4;
const KEPT = 400;

export class Stack {
  private series: Series | undefined;
  private wanted = 0;
  private shown = -1;
  private window: Window | undefined;
  private images = new Map<string, Promise<HTMLImageElement>>();
  /** Not fetched ahead again: a broken image would be asked for without end, and so would every image once the page is being left. */
  private failedOnce = new Set<string>();
  private loading = 0;
  private generation = 0;

  constructor(
    private readonly picture: HTMLImageElement,
    private readonly caption: HTMLElement,
    private readonly failed: string,
  ) {}

  show(series: Series): void {
    this.series = series;
    this.wanted = Math.floor(series.frames.length / 2);
    this.shown = -1;
    this.generation += 1;
    this.render();
  }

  setWindow(window: Window | undefined): void {
    this.window = window;
    this.shown = -1;
    this.generation += 1;
    this.render();
  }

  scroll(by: number): void {
    this.goTo(this.wanted + by);
  }

  goTo(index: number): void {
    if (!this.series) return;
    const last = this.series.frames.length - 1;
    const next = Math.max(0, Math.min(last, index));
    if (next !== this.wanted) {
      this.wanted = next;
      this.render();
    }
  }

  get length(): number {
    return this.series?.frames.length ?? 0;
  }

  private href(index: number): string | undefined {
    const frame = this.series?.frames[index];
    if (!frame) return undefined;
    return this.window ? `${frame.href}?center=${this.window.center}&width=${this.window.width}` : frame.href;
  }

  private render(): void {
    const href = this.href(this.wanted);
    const series = this.series;
    if (!href || !series) {
      this.picture.removeAttribute("src");
      this.caption.textContent = "";
      return;
    }
    const { wanted, generation } = this;
    const label = series.frames[wanted]?.label ?? "";
    const current = (): boolean => generation === this.generation && wanted === this.wanted;
    this.load(href).then(
      (image) => {
        if (!current()) return;
        this.picture.src = image.src;
        this.picture.dataset["shown"] = href;
        this.caption.textContent = `${wanted + 1} / ${series.frames.length}  ${label}`;
        this.caption.classList.remove("bad");
        this.shown = wanted;
        this.prefetch();
      },
      () => {
        if (!current()) return;
        // Rather no image than the one before under this caption.
        this.picture.removeAttribute("src");
        this.caption.textContent = `${wanted + 1} / ${series.frames.length}  ${this.failed}`;
        this.caption.classList.add("bad");
        this.prefetch();
      },
    );
  }

  private load(href: string): Promise<HTMLImageElement> {
    const known = this.images.get(href);
    if (known) {
      this.images.delete(href);
      this.images.set(href, known);
      return known;
    }
    this.loading += 1;
    const image = new Image();
    image.src = href;
    const loaded = image
      .decode()
      .then(() => image)
      .catch((error: unknown) => {
        this.images.delete(href);
        this.failedOnce.add(href);
        throw error;
      })
      .finally(() => {
        this.loading -= 1;
        this.prefetch();
      });
    this.images.set(href, loaded);
    for (const oldest of this.images.keys()) {
      if (this.images.size <= KEPT) break;
      this.images.delete(oldest);
    }
    return loaded;
  }

  /** Nearest first, on both sides of what is shown. */
  private prefetch(): void {
    if (this.shown < 0) return;
    for (let distance = 1; distance <= AHEAD; distance += 1) {
      for (const index of [this.wanted + distance, this.wanted - distance]) {
        if (this.loading >= PARALLEL) return;
        const href = this.href(index);
        if (href && !this.images.has(href) && !this.failedOnce.has(href)) this.load(href).catch(() => undefined);
      }
    }
  }
}
