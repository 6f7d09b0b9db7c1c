// A test that is a story: its steps build on each other, so the first that fails ends it, with a picture of the page.
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

const PICTURES = fileURLToPath(new URL("../../../target/browser-failures/", import.meta.url));

/** Gives `step(name, body)` for the test `t`; the pictures are of `page`. */
export function storyOf(t, page) {
  return async (name, body) => {
    let failed;
    await t.test(name, async () => {
      try {
        await body();
      } catch (error) {
        failed = error;
        throw error;
      }
    });
    if (failed) {
      const picture = path.join(PICTURES, `${name.replace(/[^a-zA-Z]+/g, "-")}.png`);
      await mkdir(PICTURES, { recursive: true });
      await page.screenshot({ path: picture }).catch(() => undefined);
      throw new Error(`ended at "${name}" on ${page.url()}; see ${picture}`);
    }
  };
}
