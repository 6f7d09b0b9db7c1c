// Pictures of the pages of a demonstration, to look at and for the README: npm run pictures [-- FOLDER], by default target/pictures.
// The README's two are the worklist and the reading page, quantised: pngquant --speed 1 --output ../../crates/web/pictures/reading.png target/pictures/reading.png
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { claimOnlyCase, launch, newWindow, signedInByLink, untilImage, untilSaved } from "./lib/browser.js";
import { demo } from "./lib/node.js";

const folder = path.resolve(process.argv[2] ?? fileURLToPath(new URL("../../target/pictures", import.meta.url)));
await mkdir(folder, { recursive: true });
const [node, browser] = await Promise.all([demo(), launch()]);
const take = async (page, name) => {
  await page.screenshot({ path: path.join(folder, `${name}.png`) });
  console.log(path.join(folder, `${name}.png`));
};
const inEnglish = async (page) => {
  await page.getByRole("button", { name: "English" }).click();
  await page.locator("html[lang=en]").waitFor();
};

try {
  const stranger = await newWindow(browser);
  await stranger.goto(node.url);
  await take(stranger, "sign-in");
  await inEnglish(stranger);
  await take(stranger, "sign-in-english");

  const reader = await signedInByLink(browser, node.people.reader);
  await take(reader, "worklist");
  await reader.getByRole("link", { name: "山田 太郎" }).click();
  await take(reader, "case");
  await reader.goBack();
  await claimOnlyCase(reader);
  await reader.locator("#viewport").hover();
  await reader.mouse.wheel(0, 100);
  await untilImage(reader, 16, 28);
  await reader.getByLabel("所見").fill("左側頭後頭葉に境界不明瞭な低吸収域を認めます。\n頭蓋内出血を認めません。正中偏位はありません。");
  await reader.getByLabel("診断").fill("左側頭後頭葉の低吸収域。");
  await reader.getByLabel("推奨").fill("MRI(拡散強調像)での評価をご検討ください。");
  await untilSaved(reader);
  // Without the frame around what has the focus.
  await reader.evaluate(() => document.activeElement.blur());
  await take(reader, "reading");
  await reader.getByRole("button", { name: "確定・署名…" }).click();
  await take(reader, "sign");
  const dialog = reader.getByRole("dialog");
  await dialog.getByLabel("パスワード").fill(node.people.reader.password);
  await dialog.getByLabel("認証コード").fill(node.people.reader.authenticator.wrong());
  await dialog.getByRole("button", { name: "署名して確定" }).click();
  await dialog.getByRole("alert").filter({ hasText: /./ }).waitFor();
  await take(reader, "sign-refused");
  await dialog.getByRole("button", { name: "やめる" }).click();
  await inEnglish(reader);
  await untilImage(reader, 15, 28);
  await take(reader, "reading-english");
  await reader.setViewportSize({ width: 1100, height: 700 });
  await take(reader, "reading-small");
  await reader.setViewportSize({ width: 1400, height: 900 });
  await reader.goto(`${node.url}/worklist`);
  await take(reader, "worklist-english");
  await reader.goto(`${node.url}/account`);
  await take(reader, "account-english");
  await reader.getByRole("button", { name: "日本語" }).click();
  await reader.locator("html[lang=ja]").waitFor();
  await take(reader, "account");
  await reader.goto(`${node.url}/worklist`);
  await reader.getByRole("link", { name: "続ける" }).click();
  await reader.getByRole("button", { name: "確定・署名…" }).click();
  await dialog.getByLabel("パスワード").fill(node.people.reader.password);
  await dialog.getByLabel("認証コード").fill(node.people.reader.authenticator.fresh());
  await dialog.getByRole("button", { name: "署名して確定" }).click();
  await reader.waitForURL("**/reports/*");
  await reader.locator('[data-delivery]:not([data-state="accepted"])').waitFor({ state: "detached" });
  await take(reader, "report");

  const facility = await signedInByLink(browser, node.people.facility);
  await take(facility, "facility-studies");
  await facility.locator("tr[data-study]").getByRole("link", { name: "レポート" }).click();
  await take(facility, "facility-report");
  await facility.goBack();
  await facility.getByRole("link", { name: "山田 太郎" }).click();
  await take(facility, "facility-study");
  await facility.getByRole("button", { name: "取消" }).click();
  await take(facility, "facility-withdraw");
  await facility.goto(`${node.url}/no-such-page`);
  await take(facility, "not-found");

  const office = await signedInByLink(browser, node.people.office);
  await take(office, "office");
  await office.getByRole("link", { name: "山田 太郎" }).click();
  await take(office, "office-case");

  const administrator = await signedInByLink(browser, node.people.administrator);
  await take(administrator, "admin");
  await inEnglish(administrator);
  await take(administrator, "admin-english");
} finally {
  await browser.close();
  await node.stop();
}
