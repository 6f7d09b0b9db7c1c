// What the server answers, and how it says no.

export interface Frame {
  /** Path of the rendered frame, without window. */
  href: string;
  label: string;
}

export interface Series {
  id: string;
  number: number | null;
  modality: string;
  description: string;
  frames: Frame[];
}

export interface Draft {
  findings: string;
  impression: string;
  recommendation: string;
}

export interface SavedDraft extends Draft {
  version: number;
}

export interface Refusal {
  /** A stable word such as `conflict`, `claim_lost`, `wrong_credentials`. */
  kind: string;
  /** For a person, in the page's language. */
  message: string;
  /** With `conflict`: what is stored. */
  stored?: SavedDraft;
}

/** The server refused; nothing was changed. */
export class RefusedError extends Error {
  constructor(
    readonly status: number,
    readonly refusal: Refusal,
  ) {
    super(refusal.message);
  }
}

/** Sends JSON and gives the answer's JSON. Network failures are a TypeError, as from fetch. */
export async function call<T>(method: string, path: string, body?: unknown, keepalive = false): Promise<T> {
  const init: RequestInit = { method, headers: { Accept: "application/json" }, keepalive, redirect: "manual" };
  if (body !== undefined) {
    init.headers = { Accept: "application/json", "Content-Type": "application/json" };
    init.body = JSON.stringify(body);
  }
  const answer = await fetch(path, init);
  if (answer.ok) {
    return (answer.status === 204 ? undefined : await answer.json()) as T;
  }
  let refusal: Refusal = { kind: "failed", message: `HTTP ${answer.status}` };
  if (answer.type === "opaqueredirect" || answer.status === 401) {
    // Said in the page's own words, which tell how to go on without leaving it.
    refusal = { kind: "signed_out", message: document.body.dataset["signedOut"] ?? "signed out" };
  } else if (answer.headers.get("Content-Type")?.startsWith("application/json")) {
    refusal = (await answer.json()) as Refusal;
  }
  throw new RefusedError(answer.status, refusal);
}
