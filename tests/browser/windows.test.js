// One reader, two windows on the same draft, a network that goes away, a case that is given back: whatever was typed is still somewhere.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { claimOnlyCase, imageShown, launch, signIn, signedInByLink, untilSaved } from "./lib/browser.js";
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

test("nothing that a reader has typed is lost", async (t) => {
  const left = await signedInByLink(browser, node.people.reader);
  const step = storyOf(t, left);
  const reading = `${node.url}/cases/${await claimOnlyCase(left)}/read`;
  const right = await anotherWindow(left, reading);

  await step("another window's text is put beside one's own", async () => {
    await left.getByLabel("所見").fill("左の窓の所見。");
    await left.getByLabel("診断").fill("左の窓の診断。");
    await untilSaved(left);

    await right.getByLabel("所見").fill("右の窓の所見。");

    await untilValue(right, "所見", /右の窓の所見。[^]*別のウィンドウで保存された内容[^]*左の窓の所見。/);
    await untilValue(right, "診断", /^左の窓の診断。$/);
    await untilSaved(right);
  });

  await step("and the other way round", async () => {
    await left.getByLabel("推奨").fill("左の窓の推奨。");
    await untilSaved(left);
    assert.deepEqual(await storedDraft(left, reading), {
      findings: "右の窓の所見。\n--- 別のウィンドウで保存された内容 ---\n左の窓の所見。",
      impression: "左の窓の診断。",
      recommendation: "左の窓の推奨。",
    });
  });

  await step("without a network the page says so, keeps the text and saves it later", async () => {
    await left.context().setOffline(true);
    await left.getByLabel("推奨").fill("回線が切れている間の推奨。");
    await left.locator("#save-state[data-state=offline]", { hasText: "接続できません。入力は残っています。再試行します。" }).waitFor();
    await left.context().setOffline(false);
    await untilSaved(left);
    assert.equal((await storedDraft(left, reading)).recommendation, "回線が切れている間の推奨。");
  });

  await step("a page with unsaved text asks before it is left", async () => {
    await left.context().setOffline(true);
    await left.getByLabel("推奨").fill("まだ保存されていない推奨。");
    const asked = left.waitForEvent("dialog");
    const leaving = left.close({ runBeforeUnload: true });
    const dialog = await asked;
    assert.equal(dialog.type(), "beforeunload");
    await dialog.dismiss();
    await leaving;
    await left.context().setOffline(false);
    await untilSaved(left);
    assert.equal((await storedDraft(left, reading)).recommendation, "まだ保存されていない推奨。");
  });

  await step("who was signed out signs in in another window and goes on writing", async () => {
    await left.context().clearCookies();
    await left.getByLabel("推奨").fill("サインアウト後の推奨。");
    await left.locator("#save-state[data-state=refused]", { hasText: "別のウィンドウでサインインし直すと、入力を続けられます。" }).waitFor();
    const door = await left.context().newPage();
    await signIn(door, node.people.reader);
    await door.getByRole("link", { name: "続ける" }).waitFor();
    await left.getByLabel("推奨").press("End");
    await left.keyboard.insertText("続き。");
    await untilSaved(left);
    assert.equal((await storedDraft(left, reading)).recommendation, "サインアウト後の推奨。続き。");
  });

  await step("who gives the case back finds the draft again", async () => {
    await left.getByLabel("推奨").fill("手放す直前の推奨。");
    await left.getByRole("button", { name: "手放す" }).click();
    await left.waitForURL("**/worklist");
    await left.getByRole("button", { name: "読影する" }).waitFor();

    await right.getByLabel("推奨").fill("手放した後の推奨。");
    await right.locator("#save-state[data-state=refused]", { hasText: "この依頼の確保は終了しています。" }).waitFor();
    assert.equal(await right.getByLabel("推奨").inputValue(), "手放した後の推奨。");

    await claimOnlyCase(left);
    assert.equal(await left.getByLabel("推奨").inputValue(), "手放す直前の推奨。");
    assert.match(await left.getByLabel("所見").inputValue(), /左の窓の所見。/);
  });

  assert.deepEqual([...left.complaints, ...right.complaints].filter(isUnexpected), [], "the browser complained");
});

/** The draft as the node has it: what a new window shows. */
async function storedDraft(page, reading) {
  const fresh = await anotherWindow(page, reading);
  const value = (label) => fresh.getByLabel(label).inputValue();
  const draft = { findings: await value("所見"), impression: await value("診断"), recommendation: await value("推奨") };
  await fresh.close();
  return draft;
}

/** A window of the same browser: the same session. */
async function anotherWindow(page, url) {
  const another = Object.assign(await page.context().newPage(), { complaints: [] });
  await another.goto(url);
  await imageShown(another);
  return another;
}

async function untilValue(page, label, pattern) {
  const field = await page.getByLabel(label).elementHandle();
  await page.waitForFunction(([field, source]) => new RegExp(source).test(field.value), [field, pattern.source]);
}

/** Browsers report every refused request; conflicts, the closed case, the ended session and the missing network are this story's subject. */
const isUnexpected = (complaint) => !/Failed to load resource: (.* 40[19] |net::ERR_INTERNET_DISCONNECTED)/.test(complaint);
