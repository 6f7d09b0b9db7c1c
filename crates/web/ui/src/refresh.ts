// Lists renew themselves: the part marked `data-live` is fetched again and replaced, unless somebody is using a control inside it. Its value is the address of
// the part alone; empty: the page's own.
//
// Only while somebody is there: a list that nobody looks at must not keep a session alive.
import { isSomebodyThere } from "./presence";

const EVERY_MS = 5_000;

export function startRefreshing(): void {
  const live = document.querySelector<HTMLElement>("[data-live]");
  if (!live) return;
  let current = live;
  const renew = async (): Promise<void> => {
    const inUse = current.contains(document.activeElement) && document.activeElement !== document.body;
    if (document.hidden || inUse || !isSomebodyThere()) return;
    const answer = await fetch(current.dataset["live"] || location.href, { headers: { Accept: "text/html" }, redirect: "manual" });
    if (!answer.ok) {
      // Signed out meanwhile, most likely: a reload shows the sign-in page and comes back here.
      if (answer.type === "opaqueredirect" || answer.status === 401) location.reload();
      return;
    }
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector<HTMLElement>("[data-live]");
    if (fresh && fresh.innerHTML !== current.innerHTML) {
      current.replaceWith(fresh);
      current = fresh;
    }
  };
  setInterval(() => {
    renew().catch(() => {
      // The network is away; the next round tries again, and what stands on the page stays.
    });
  }, EVERY_MS);
}
