// Every page in English: no Japanese is left but what people and machines have entered, and the choice stays with the account.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { claimOnlyCase, imageShown, launch, newWindow, signedInByLink, untilSaved, wordsOf } from "./lib/browser.js";
import { demo } from "./lib/node.js";
import { storyOf } from "./lib/story.js";

/** Names, and texts that somebody wrote. */
const DATA = [
  ["山田 太郎", "やまだ たろう", "頭部単純CT", "佐藤 花子"],
  ["デモ病院 放射線科", "デモ病院", "事務局", "管理者 1", "管理者 2", "遠隔読影センター"],
  ["頭痛、めまい。出血・腫瘤性病変の有無をお願いします。", "内科 外来", "所見の文。"],
].flat();
/** The mark in the header, and the way back. */
const SAME_IN_BOTH = ["読影", "日本語"];
const JAPANESE = /[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]/;

let node, browser;

before(async () => {
  [node, browser] = await Promise.all([demo(), launch()]);
});

after(async () => {
  await browser?.close();
  assert.equal(await node?.stop(), 0, "the node did not stop cleanly");
});

test("the reader's pages speak English", async (t) => {
  const page = await signedInByLink(browser, node.people.reader);
  const step = storyOf(t, page);

  await step("the switch keeps the page", async () => {
    assert.equal(await page.getAttribute("html", "lang"), "ja");
    await page.goto(`${node.url}/worklist?view=finished`);
    await toEnglish(page);
    assert.equal(page.url(), `${node.url}/worklist?view=finished`);
    await page.getByText("You have signed no report in the last 31 days.").waitFor();
    await assertEnglish(page);
  });

  await step("worklist and case", async () => {
    await page.getByRole("link", { name: "To read" }).click();
    const row = page.locator("tr[data-case]");
    for (const label of ["Urgent", "76 y M", "assigned"]) await row.getByText(label).waitFor();
    await assertEnglish(page);
    await row.getByRole("link", { name: "山田 太郎" }).click();
    await page.getByText("Clinical question").waitFor();
    await assertEnglish(page);
    await page.getByRole("link", { name: "Back to the list" }).click();
  });

  await step("reading page and confirmation", async () => {
    await page.getByRole("button", { name: "Read", exact: true }).click();
    await imageShown(page);
    await untilSaved(page);
    await page.getByRole("button", { name: "Brain" }).click();
    await page.getByLabel("Findings").fill("所見の文。");
    await untilSaved(page);
    await assertEnglish(page);
    await page.getByRole("button", { name: "Sign…" }).click();
    await page.getByRole("heading", { name: "Sign the report of this patient" }).waitFor();
    await assertEnglish(page);
    await page.getByLabel("Password").fill(node.people.reader.password);
    await page.getByLabel("Code").fill(node.people.reader.authenticator.wrong());
    await page.getByRole("button", { name: "Sign", exact: true }).click();
    await page.getByText("Password or code is wrong.").waitFor();
    await page.getByLabel("Code").fill(node.people.reader.authenticator.fresh());
    await page.getByRole("button", { name: "Sign", exact: true }).click();
    await page.waitForURL("**/reports/*");
  });

  await step("the report", async () => {
    await page.getByText("The signature is valid and every file is as it was signed.").waitFor();
    await page.locator('[data-delivery]:not([data-state="accepted"])').waitFor({ state: "detached" });
    await page.locator("[data-delivery]", { hasText: "delivered" }).first().waitFor();
    await assertEnglish(page);
  });

  await step("account, sign-in and refusals", async () => {
    for (const path of ["/account", "/no-such-page"]) {
      await page.goto(node.url + path);
      await assertEnglish(page);
    }
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByText("You are signed out.").waitFor();
    await assertEnglish(page);
    await page.getByLabel("Account").fill("R1");
    await page.getByLabel("Password").fill("wrong-password-of-somebody");
    await page.getByLabel("Code").fill("000000");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("alert").waitFor();
    await assertEnglish(page);
  });
});

test("so do those of everybody else", async (t) => {
  const pages = { facility: ["/studies"], office: ["/office", "/studies"], administrator: ["/admin"] };
  for (const [role, paths] of Object.entries(pages)) {
    await t.test(role, async () => {
      const page = await signedInByLink(browser, node.people[role]);
      await toEnglish(page);
      for (const path of paths) {
        await page.goto(node.url + path);
        await assertEnglish(page);
        const study = page.locator("tr[data-study] td.patient a");
        if ((await study.count()) === 0) continue;
        await study.click();
        await page.getByText("Clinical question").waitFor();
        await assertEnglish(page);
        const withdraw = page.getByRole("button", { name: "Withdraw" });
        if ((await withdraw.count()) === 0) continue;
        await withdraw.click();
        await page.getByRole("heading", { name: "Withdraw this study" }).waitFor();
        await assertEnglish(page);
      }
      assert.deepEqual(page.complaints, []);
    });
  }
});

async function toEnglish(page) {
  await page.getByRole("button", { name: "English" }).click();
  await page.locator("html[lang=en]").waitFor();
}

async function assertEnglish(page) {
  const known = [...DATA, ...SAME_IN_BOTH].sort((a, b) => b.length - a.length);
  const rest = (words) => known.reduce((left, data) => left.replaceAll(data, ""), words);
  const japanese = (await wordsOf(page)).filter((words) => JAPANESE.test(rest(words)));
  assert.deepEqual(japanese, [], `${page.url()} is not in English`);
}
