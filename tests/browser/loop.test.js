// The loop: a study on the worklist, images, Japanese text, a signature, and the report back at the hospital.
import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import path from "node:path";
import { after, before, test } from "node:test";

import { claimOnlyCase, imageShown, launch, newWindow, signIn, signedInByLink, text, untilImage, untilSaved } from "./lib/browser.js";
import { demo } from "./lib/node.js";
import { storyOf } from "./lib/story.js";

let node, browser;

before(async () => {
  [node, browser] = await Promise.all([demo(), launch()]);
});

after(async () => {
  await browser?.close();
  assert.equal(await node?.stop(), 0, "the node did not stop cleanly");
});

test("a reader reads, writes and signs a case, and the hospital has the report", async (t) => {
  const page = await newWindow(browser);
  const step = storyOf(t, page);
  const savedTexts = [];
  page.on("request", (request) => {
    if (request.method() === "PUT") savedTexts.push(request.postData());
  });
  // Time can be put forward, so that pauses of the page need no waiting.
  await page.clock.install();
  let report;

  await step("signing in with password and code leads to the worklist", async () => {
    await signIn(page, node.people.reader);
    await page.waitForURL("**/worklist");
    const row = page.locator("tr[data-case]");
    assert.equal(await row.count(), 1);
    const shown = await text(row);
    for (const fact of ["山田 太郎", "やまだ たろう", "Yamada Taro", "0001234567", "1950-03-14", "男", "CT", "HEAD", "頭部単純CT", "28", "デモ病院", "至急"]) {
      assert.ok(shown.includes(fact), `the worklist does not show ${fact}: ${shown}`);
    }
  });

  await step("claiming opens the images, which scroll by wheel and keys", async () => {
    await claimOnlyCase(page);
    const { number, count } = await imageShown(page);
    assert.deepEqual([number, count], [15, 28], "a series begins in its middle");
    assert.ok((await grays(page)).size > 100, "the image is no CT");

    const viewport = page.locator("#viewport");
    await viewport.hover();
    await page.mouse.wheel(0, 100);
    await untilImage(page, 16, 28);
    await page.mouse.wheel(0, -100);
    await untilImage(page, 15, 28);
    for (const [key, then] of [["ArrowDown", 16], ["PageDown", 26], ["End", 28], ["ArrowDown", 28], ["ArrowUp", 27], ["Home", 1], ["PageUp", 1]]) {
      await page.keyboard.press(key);
      await untilImage(page, then, 28);
    }
    await page.keyboard.press("End");
    await untilImage(page, 28, 28);
  });

  await step("a number key chooses a window", async () => {
    await page.keyboard.press("Home");
    await page.keyboard.press("PageDown");
    await untilImage(page, 11, 28);
    const before = await grays(page);

    await page.keyboard.press("4");

    await page.locator('#picture[data-shown*="center=400&width=1800"]').waitFor();
    await page.getByRole("button", { name: "骨" }).and(page.locator(".chosen")).waitFor();
    await untilImage(page, 11, 28);
    assert.notDeepEqual(await grays(page), before, "the picture is the same in another window");
    await page.keyboard.press("0");
    await page.locator('#picture:not([data-shown*="center"])').waitFor();
  });

  await step("Japanese text is saved as it is composed and typed", async () => {
    const findings = page.getByLabel("所見");
    await findings.click();
    const input = await page.context().newCDPSession(page);
    const compose = (reading) => input.send("Input.imeSetComposition", { text: reading, selectionStart: reading.length, selectionEnd: reading.length });
    for (const reading of ["み", "みぎ", "みぎぜんとうよう"]) await compose(reading);
    await page.clock.fastForward(10_000);
    await compose("右前頭葉");
    await page.clock.fastForward(10_000);
    await input.send("Input.insertText", { text: "右前頭葉" });
    await page.keyboard.insertText("に低吸収域を認めます(4 mm)。");
    await page.keyboard.press("Enter");
    await page.keyboard.insertText("出血はありません。");
    await page.keyboard.press("2");
    await page.keyboard.press("Backspace");
    await page.getByLabel("診断").fill("陳旧性梗塞疑い。");

    await untilSaved(page);

    assert.equal(await findings.inputValue(), "右前頭葉に低吸収域を認めます(4 mm)。\n出血はありません。");
    assert.ok(savedTexts.length > 0 && !savedTexts.some((saved) => saved.includes("みぎ")), "text was saved in the middle of a composition");
    assert.equal(await page.locator('[data-window=""]').getAttribute("class"), "chosen", "typing has changed the window");
  });

  await step("the text survives a reload", async () => {
    await page.reload();
    await imageShown(page);
    assert.equal(await page.getByLabel("所見").inputValue(), "右前頭葉に低吸収域を認めます(4 mm)。\n出血はありません。");
    assert.equal(await page.getByLabel("診断").inputValue(), "陳旧性梗塞疑い。");
    await untilSaved(page);
  });

  await step("the confirmation names the patient; a wrong code is refused and nothing is lost", async () => {
    await page.getByLabel("推奨").fill("MRIでの追加評価をご検討ください。");
    await page.getByRole("button", { name: "確定・署名…" }).click();
    const dialog = page.getByRole("dialog");
    const shown = await text(dialog);
    for (const fact of ["山田 太郎", "やまだ たろう", "Yamada Taro", "0001234567", "1950-03-14", "デモ病院", "28"]) {
      assert.ok(shown.includes(fact), `the confirmation does not show ${fact}: ${shown}`);
    }

    await sign(page, node.people.reader.password, node.people.reader.authenticator.wrong());

    await dialog.getByRole("alert").filter({ hasText: "パスワードまたは認証コードが正しくありません。" }).waitFor();
    assert.match(page.complaints.splice(0).join("\n"), /^Failed to load resource: .* 403 .*\/sign\?workitem=[\d.]+\)$/);
    await dialog.getByRole("button", { name: "やめる" }).click();
    await dialog.waitFor({ state: "hidden" });
    assert.equal(await page.getByLabel("推奨").inputValue(), "MRIでの追加評価をご検討ください。");
  });

  await step("a fresh code signs, and the report is delivered", async () => {
    await page.getByRole("button", { name: "確定・署名…" }).click();
    await sign(page, node.people.reader.password, node.people.reader.authenticator.fresh());

    await page.waitForURL("**/reports/*");
    report = new URL(page.url()).pathname;
    await page.getByText("署名とすべてのファイルは署名時のままです。").waitFor();
    const paper = await text(page.locator(".paper"));
    for (const line of ["山田 太郎", "右前頭葉に低吸収域を認めます(4 mm)。\n出血はありません。", "陳旧性梗塞疑い。", "MRIでの追加評価をご検討ください。", "佐藤 花子"]) {
      assert.ok(paper.includes(line), `the report does not say ${line}: ${paper}`);
    }
    await page.locator('[data-delivery]:not([data-state="accepted"])').waitFor({ state: "detached" });
    await page.locator('[data-delivery][data-state="accepted"]', { hasText: "送達" }).first().waitFor();

    const received = path.join(node.dataDir, "hospital/received");
    const objects = await Promise.all((await readdir(received)).map((name) => readFile(path.join(received, name))));
    assert.equal(objects.length, 2, "the hospital's archive holds a structured report and a PDF");
    for (const object of objects) assert.equal(object.toString("latin1", 128, 132), "DICM");
  });

  await step("the case has left the reader's open list", async () => {
    await page.getByRole("link", { name: "一覧へ戻る" }).click();
    await page.getByText("読影待ちの依頼はありません。").waitFor();
    await page.getByRole("link", { name: "読影済" }).click();
    await page.locator("tr[data-case]", { hasText: "山田 太郎" }).waitFor();
  });

  await step("the facility reads the report and has the PDF", async () => {
    const facility = await signedInByLink(browser, node.people.facility);
    await facility.locator("tr[data-study]", { hasText: "山田 太郎" }).getByRole("link", { name: "レポート" }).click();
    await facility.waitForURL(`**${report}`);
    await facility.getByText("右前頭葉に低吸収域を認めます(4 mm)。").waitFor();

    const href = await facility.getByRole("link", { name: "PDF", exact: true }).getAttribute("href");
    const pdf = await facility.request.get(node.url + href);
    assert.equal(pdf.headers()["content-type"], "application/pdf");
    assert.equal((await pdf.body()).toString("latin1", 0, 5), "%PDF-");
    const [download] = await Promise.all([
      facility.waitForEvent("download"),
      facility.getByRole("link", { name: "DICOM 構造化レポート (SR)" }).click(),
    ]);
    const sr = await readFile(await download.path());
    assert.equal(sr.toString("latin1", 128, 132), "DICM");
    assert.deepEqual(facility.complaints, []);
  });

  await step("the office sees that the report was returned", async () => {
    const office = await signedInByLink(browser, node.people.office);
    const row = office.locator("tr[data-case]", { hasText: "山田 太郎" });
    await row.locator(".state-returned", { hasText: "返送済" }).waitFor();
    await office.getByText("返送に失敗したレポートはありません。").waitFor();
    assert.deepEqual(office.complaints, []);
  });

  assert.deepEqual(page.complaints, [], "the browser complained");
});

async function sign(page, password, code) {
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("パスワード").fill(password);
  await dialog.getByLabel("認証コード").fill(code);
  await dialog.getByRole("button", { name: "署名して確定" }).click();
}

/** How often each gray occurs in the image on the screen. */
async function grays(page) {
  const counts = await page.locator("#picture").evaluate(async (picture) => {
    await picture.decode();
    const canvas = document.createElement("canvas");
    canvas.width = picture.naturalWidth;
    canvas.height = picture.naturalHeight;
    const drawing = canvas.getContext("2d");
    drawing.drawImage(picture, 0, 0);
    const { data } = drawing.getImageData(0, 0, canvas.width, canvas.height);
    const counts = new Map();
    for (let at = 0; at < data.length; at += 4) counts.set(data[at], (counts.get(data[at]) ?? 0) + 1);
    return [...counts].sort(([a], [b]) => a - b);
  });
  return new Map(counts);
}
