// Whether somebody sits before the page: whatever it does by itself, it does only then, so that the session of a forgotten window ends.

const ALONE_AFTER_MS = 10 * 60_000;

let lastSeen = Date.now();

for (const sign of ["pointermove", "pointerdown", "keydown", "wheel", "focus"]) {
  addEventListener(sign, () => (lastSeen = Date.now()), { passive: true, capture: true });
}

export function isSomebodyThere(): boolean {
  return Date.now() - lastSeen < ALONE_AFTER_MS;
}
