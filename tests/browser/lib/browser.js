// Chromium and the people before it.
import assert from "node:assert/strict";
import { accessSync, constants } from "node:fs";

import { chromium } from "playwright-core";

/** Patient, states and sentences arrive within this time, on a machine that builds something else besides. */
const PATIENCE_MS = 60_000;

export async function launch() {
  return chromium.launch({
    executablePath: process.env.DOKUEI_CHROMIUM ?? installed(),
    args: [
      "--disable-gpu",
      "--disable-background-networking",
      "--disable-component-update",
      // Chromium's sandbox does not run as root, which containers of continuous integration do.
      ...(process.getuid() === 0 ? ["--no-sandbox"] : []),
    ],
  });
}

function installed() {
  const found = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
  if (!found) throw new Error("there is no Chromium; install it (.ci/install does) or name it in DOKUEI_CHROMIUM");
  return found;
}

/** A browser window with cookies of its own. `window.complaints` collects what the browser complained of: errors of scripts, of loading, of the CSP. */
export async function newWindow(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1400, height: 900 }, ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  const complaints = [];
  context.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") complaints.push(`${message.text()} (${message.location().url})`);
  });
  context.on("weberror", (error) => complaints.push(String(error.error())));
  const page = await context.newPage();
  return Object.assign(page, { complaints });
}

/** A window of somebody who came through their one-time link. */
export async function signedInByLink(browser, person, options) {
  const page = await newWindow(browser, options);
  await page.goto(person.link);
  return page;
}

/** Types what the sign-in page asks for and gives the answer's status. */
export async function fillSignIn(page, account, password, code) {
  await page.getByLabel("アカウント").fill(account);
  await page.getByLabel("パスワード").fill(password);
  await page.getByLabel("認証コード").fill(code);
  const answer = page.waitForResponse((response) => response.request().method() === "POST");
  await page.getByRole("button", { name: "サインイン", exact: true }).click();
  return (await answer).status();
}

export async function signIn(page, person, path = "/") {
  await page.goto(person.node.url + path);
  const status = await fillSignIn(page, person.account, person.password, person.authenticator.fresh());
  assert.equal(status, 303, `${person.account} cannot sign in`);
}

/** Claims the only case of the worklist and waits for its images. Gives the case's id. */
export async function claimOnlyCase(page) {
  await page.getByRole("button", { name: "読影する" }).click();
  await imageShown(page);
  return caseOf(page);
}

export async function caseOf(page) {
  return page.locator("#reading").getAttribute("data-case");
}

/** Which image of how many is on the screen, once there is one. */
export async function imageShown(page) {
  await page.locator("#picture[data-shown]").waitFor();
  const [, number, count] = (await page.locator("#caption").textContent()).match(/^(\d+) \/ (\d+)/);
  return { number: Number(number), count: Number(count) };
}

export async function untilImage(page, number, count) {
  await page.locator("#caption", { hasText: new RegExp(`^${number} / ${count}\\b`) }).waitFor();
}

/** Waits until what was typed is saved; the editor says `unsaved` in the moment of typing. */
export async function untilSaved(page) {
  await page.locator("#save-state[data-state=saved]", { hasText: /^(保存済み|Saved)$/ }).waitFor();
}

export async function text(locator) {
  return (await locator.innerText()).trim();
}

/** Everything that a page shows or says to a screen reader. */
export async function wordsOf(page) {
  return page.evaluate(() => {
    const words = [document.title];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
    for (let node = walker.currentNode; node; node = walker.nextNode()) {
      if (node.nodeType === Node.TEXT_NODE) words.push(node.data);
      else for (const name of ["title", "aria-label", "alt", "placeholder"]) words.push(node.getAttribute(name) ?? "");
    }
    return words.map((word) => word.trim()).filter((word) => word !== "");
  });
}

/** Fails when a page has shown any of the patient. */
export async function assertNothingOfThePatient(page) {
  const source = await page.content();
  for (const fact of ["山田", "やまだ", "Yamada", "0001234567", "1950-03-14"]) assert.ok(!source.includes(fact), `${page.url()} shows ${fact}`);
}
