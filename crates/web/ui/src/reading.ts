// The reading page: images on the left, report on the right, one patient.
import { call, RefusedError, type Series } from "./api";
import { Editor, type SaveState } from "./editor";
import { isSomebodyThere } from "./presence";
import { Stack, type Window } from "./stack";

const KEEP_CLAIM_MS = 60_000;

export function startReading(): void {
  const root = element<HTMLElement>("#reading");
  // Everything is asked for under the workitem that this page was opened with.
  const hold = `workitem=${encodeURIComponent(root.dataset["workitem"] ?? "")}`;
  const api = (what: string): string => `/api/v1/cases/${root.dataset["case"] ?? ""}/${what}?${hold}`;
  const text = (name: string): string => root.dataset[name] ?? "";
  const stack = startImages(api, text("imageFailed"));
  const status = element<HTMLElement>("#save-state");
  const showState = (state: SaveState, message: string): void => {
    status.dataset["state"] = state;
    status.textContent = message === "" ? text(`state-${state}`.replace(/-(.)/g, (_, c: string) => c.toUpperCase())) : message;
  };
  const fields = {
    findings: element<HTMLTextAreaElement>("#findings"),
    impression: element<HTMLTextAreaElement>("#impression"),
    recommendation: element<HTMLTextAreaElement>("#recommendation"),
  };
  const editor = new Editor(api("draft"), fields, Number(root.dataset["draftVersion"] ?? "0"), showState);
  showState("saved", "");
  startKeys(stack);
  startClaim(api, editor, showState);
  startSigning(api, editor);
}

type Api = (what: string) => string;

function startImages(api: Api, failed: string): Stack {
  const viewport = element<HTMLElement>("#viewport");
  const stack = new Stack(element<HTMLImageElement>("#picture"), element<HTMLElement>("#caption"), failed);
  viewport.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      stack.scroll(event.deltaY > 0 ? 1 : -1);
    },
    { passive: false },
  );
  for (const button of document.querySelectorAll<HTMLButtonElement>("[data-window]")) {
    button.addEventListener("click", () => choose(button, stack));
  }
  const list = element<HTMLElement>("#series");
  call<Series[]>("GET", api("series")).then(
    (all) => {
      const withImages = all.filter((series) => series.frames.length > 0);
      list.replaceChildren(...withImages.map((series) => seriesButton(series, stack, list)));
      list.querySelector<HTMLButtonElement>("button")?.click();
    },
    (error: unknown) => {
      list.textContent = error instanceof Error ? error.message : failed;
    },
  );
  return stack;
}

function seriesButton(series: Series, stack: Stack, list: HTMLElement): HTMLButtonElement {
  const button = document.createElement("button");
  button.type = "button";
  const middle = series.frames[Math.floor(series.frames.length / 2)];
  if (middle) {
    const thumbnail = document.createElement("img");
    thumbnail.alt = "";
    thumbnail.loading = "lazy";
    thumbnail.src = `${middle.href}?edge=96`;
    button.append(thumbnail);
  }
  const label = document.createElement("span");
  label.textContent = `${series.number ?? "-"} ${series.modality} ${series.description} (${series.frames.length})`;
  button.append(label);
  button.addEventListener("click", () => {
    for (const other of list.querySelectorAll("button")) other.classList.toggle("chosen", other === button);
    offerWindows(series.modality);
    stack.show(series);
    element<HTMLElement>("#viewport").focus();
  });
  return button;
}

/** A window means something for its modality only. */
function offerWindows(modality: string): void {
  for (const button of document.querySelectorAll<HTMLButtonElement>("[data-window]")) {
    const meant = button.dataset["modality"];
    button.hidden = meant !== undefined && meant !== modality;
    if (button.hidden && button.classList.contains("chosen")) document.querySelector<HTMLButtonElement>('[data-window=""]')?.click();
  }
}

function choose(button: HTMLButtonElement, stack: Stack): void {
  const [center, width] = (button.dataset["window"] ?? "").split(",").map(Number);
  const window: Window | undefined = center !== undefined && width !== undefined ? { center, width } : undefined;
  for (const other of document.querySelectorAll("[data-window]")) other.classList.toggle("chosen", other === button);
  stack.setWindow(window);
}

/** Keys act on the images only while no text is being written. */
function startKeys(stack: Stack): void {
  addEventListener("keydown", (event) => {
    const target = event.target;
    const writing = target instanceof HTMLTextAreaElement || target instanceof HTMLInputElement || document.querySelector("dialog[open]");
    if (writing || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    const steps: Record<string, number> = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, PageDown: 10, PageUp: -10 };
    const step = steps[event.key];
    if (step !== undefined) stack.scroll(step);
    else if (event.key === "Home") stack.goTo(0);
    else if (event.key === "End") stack.goTo(stack.length - 1);
    else if (/^[0-9]$/.test(event.key)) document.querySelector<HTMLButtonElement>(`[data-key="${event.key}"]:not([hidden])`)?.click();
    else return;
    event.preventDefault();
  });
}

/** A claim lives as long as somebody works on the page. */
function startClaim(api: Api, editor: Editor, showState: (state: SaveState, message: string) => void): void {
  const keep = setInterval(() => {
    if (!isSomebodyThere()) return;
    call("POST", api("keep")).catch((error: unknown) => {
      if (error instanceof RefusedError && error.status < 500) {
        clearInterval(keep);
        editor.stop();
        showState("refused", error.refusal.message);
      }
    });
  }, KEEP_CLAIM_MS);
  const form = element<HTMLFormElement>("#release-form");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    editor
      .flush()
      .then(() => {
        editor.stop();
        form.submit();
      })
      .catch((error: unknown) => showState("refused", error instanceof Error ? error.message : ""));
  });
}

function startSigning(api: Api, editor: Editor): void {
  const dialog = element<HTMLDialogElement>("#sign-dialog");
  const form = element<HTMLFormElement>("#sign-form");
  const problem = element<HTMLElement>("#sign-problem");
  const submit = element<HTMLButtonElement>("#sign-submit");
  const incomplete = element<HTMLElement>("#sign-incomplete");
  element<HTMLButtonElement>("#sign-open").addEventListener("click", () => {
    problem.textContent = "";
    dialog.showModal();
  });
  element<HTMLButtonElement>("#sign-cancel").addEventListener("click", () => dialog.close());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const values = new FormData(form);
    const request = {
      password: values.get("password"),
      code: values.get("code"),
      confirm_incomplete: values.get("confirm_incomplete") === "on",
    };
    submit.disabled = true;
    problem.textContent = "";
    editor
      .flush()
      .then(() => call<{ location: string }>("POST", api("sign"), { ...request, draft_version: editor.savedVersion }))
      .then((signed) => {
        editor.stop();
        location.assign(signed.location);
      })
      .catch((error: unknown) => {
        submit.disabled = false;
        problem.textContent = error instanceof Error ? error.message : "";
        if (error instanceof RefusedError && error.refusal.kind === "incomplete_not_confirmed") incomplete.hidden = false;
        form.querySelector<HTMLInputElement>("[name=code]")?.select();
        if (error instanceof RefusedError && error.refusal.kind === "conflict" && error.refusal.stored) editor.adopt(error.refusal.stored, error.refusal.message);
      });
  });
}

function element<T extends Element>(selector: string): T {
  const found = document.querySelector<T>(selector);
  if (!found) throw new Error(`the page has no ${selector}`);
  return found;
}
