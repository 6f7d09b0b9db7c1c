// What the pages refuse: wrong and used credentials, other people's pages, other sites' requests.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { assertNothingOfThePatient, claimOnlyCase, fillSignIn, launch, newWindow, signIn, signedInByLink, untilSaved } from "./lib/browser.js";
import { demo, person } from "./lib/node.js";
import { storyOf } from "./lib/story.js";

const WRONG = "アカウント、パスワード、認証コードのいずれかが正しくないか、使用済みのコードか、アカウントが停止されています。";
const NOT_FOUND = "そのページはないか、表示する権限がありません。";

let node, browser;

before(async () => {
  [node, browser] = await Promise.all([demo(), launch()]);
});

after(async () => {
  await browser?.close();
  assert.equal(await node?.stop(), 0, "the node did not stop cleanly");
});

test("wrong and used credentials are refused", async (t) => {
  const { reader } = node.people;
  const page = await newWindow(browser);
  const step = storyOf(t, page);
  const refused = (message) => page.getByRole("alert").filter({ hasText: message }).waitFor();

  await step("without a session, a page leads to the sign-in", async () => {
    await page.goto(`${node.url}/worklist?view=finished`);
    assert.equal(new URL(page.url()).pathname, "/sign-in");
    await page.getByText("続けるにはサインインしてください。").waitFor();
  });

  await step("a wrong password is refused without saying what was wrong", async () => {
    assert.equal(await fillSignIn(page, reader.account, "wrong-password-of-somebody", reader.authenticator.wrong()), 401);
    await refused(WRONG);
    assert.equal(await page.getByLabel("アカウント").inputValue(), reader.account, "the account must be typed again");
    assert.equal(await page.getByLabel("パスワード").inputValue(), "");
    assert.equal(await fillSignIn(page, reader.account, reader.password, reader.authenticator.wrong()), 401);
    await refused(WRONG);
    assert.equal(await fillSignIn(page, "NOBODY", reader.password, reader.authenticator.wrong()), 401);
    await refused(WRONG);
  });

  const code = reader.authenticator.fresh();
  await step("the right ones lead back to the page that was asked for", async () => {
    assert.equal(await fillSignIn(page, reader.account, reader.password, code), 303);
    await page.waitForURL("**/worklist?view=finished");
  });

  await step("a code that was used signs nobody in", async () => {
    const stranger = await newWindow(browser);
    await stranger.goto(`${node.url}/sign-in`);
    assert.equal(await fillSignIn(stranger, reader.account, reader.password, code), 401);
    await stranger.getByRole("alert").filter({ hasText: WRONG }).waitFor();
    await stranger.goto(`${node.url}/worklist`);
    assert.equal(new URL(stranger.url()).pathname, "/sign-in");
  });

  await step("nor does it sign a report", async () => {
    await page.goto(`${node.url}/worklist`);
    await claimOnlyCase(page);
    await page.getByLabel("所見").fill("署名前の所見。");
    await page.getByRole("button", { name: "確定・署名…" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("パスワード").fill(reader.password);
    await dialog.getByLabel("認証コード").fill(code);
    await dialog.getByRole("button", { name: "署名して確定" }).click();
    await refused("この認証コードは使用済みです。次のコードを待って入力してください。");
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "hidden" });
    assert.equal(await page.getByLabel("所見").inputValue(), "署名前の所見。");
    await untilSaved(page);
  });

  await step("after signing out, going back shows nothing", async () => {
    const address = page.url();
    await page.getByRole("button", { name: "サインアウト" }).click();
    await page.getByText("サインアウトしました。").waitFor();
    await page.goBack();
    await page.waitForURL(/\/sign-in\?next=/);
    await assertNothingOfThePatient(page);
    await page.goto(address);
    assert.equal(new URL(page.url()).pathname, "/sign-in");
  });

  await step("the link of the demonstration works once", async () => {
    await page.goto(reader.link);
    await page.waitForURL("**/worklist");
    await page.getByRole("link", { name: "続ける" }).waitFor();
    const stranger = await newWindow(browser);
    assert.equal((await stranger.goto(reader.link)).status(), 410);
    await stranger.getByText("このリンクは期限切れか、使用済みか、正しくありません。").waitFor();
  });
});

test("nobody sees what belongs to somebody else", async (t) => {
  const { facility, office, administrator } = node.people;
  const officePage = await signedInByLink(browser, office);
  const step = storyOf(t, officePage);
  const caseId = await officePage.locator("tr[data-case]").getAttribute("data-case");
  const studies = await officePage.context().newPage();
  await studies.goto(`${node.url}/studies`);
  const studyId = await studies.locator("tr[data-study]").getAttribute("data-study");
  const shut = async (page, paths) => {
    for (const path of paths) {
      const answer = await page.goto(node.url + path);
      assert.equal(answer.status(), 404, path);
      if (!path.startsWith("/api/")) await page.getByText(NOT_FOUND).waitFor();
      await assertNothingOfThePatient(page);
    }
  };

  await step("the office does not read and does not administer", async () => {
    const page = await officePage.context().newPage();
    await shut(page, ["/admin"]);
    await page.goto(`${node.url}/cases/${caseId}/read`);
    assert.equal(new URL(page.url()).pathname, `/cases/${caseId}`, "who does not hold the case is shown the case, not its images");
    assert.equal(await page.locator("#picture").count(), 0);
  });

  await step("the facility sees its own studies and no more", async () => {
    const page = await signedInByLink(browser, facility);
    await page.locator("tr[data-study]", { hasText: "山田 太郎" }).waitFor();
    await shut(page, ["/office", "/admin"]);
    await page.goto(`${node.url}/worklist`);
    assert.equal(new URL(page.url()).pathname, "/studies");
  });

  await step("another facility does not learn that they exist", async () => {
    await node.command("facility", "add", "--id", "HOSP2", "--name", "みどり病院", "--issuer", "1.2.392.100495.20.3.51.13610009999");
    const enrolment = await node.command("user", "add", "--id", "H2", "--role", "facility", "--facility", "HOSP2", "--name", "みどり病院");
    const page = await newWindow(browser);
    await signIn(page, person(node, enrolment));
    await page.getByText("受信した検査はまだありません。").waitFor();
    const paths = [`/studies/${studyId}`, `/studies/${studyId}/withdraw`, `/cases/${caseId}`, `/cases/${caseId}/read`, `/api/v1/cases/${caseId}/series`];
    await shut(page, paths);
    for (const path of [`/studies/${studyId}/withdraw`, `/studies/${studyId}/complete`]) {
      const answer = await page.request.post(node.url + path, { headers: { Origin: node.url }, form: { reason: "x", confirm: "yes" } });
      assert.equal(answer.status(), 404, path);
    }
  });

  await step("administrators keep accounts and see no patient", async () => {
    const page = await signedInByLink(browser, administrator);
    assert.equal(new URL(page.url()).pathname, "/admin");
    await assertNothingOfThePatient(page);
    await shut(page, ["/worklist", "/office", "/studies", `/studies/${studyId}`, `/cases/${caseId}`, `/api/v1/cases/${caseId}/series`]);
  });
});

test("another site can do nothing in somebody's name", async () => {
  const { office } = node.people;
  const page = await newWindow(browser);
  await signIn(page, office);
  const caseId = await page.locator("tr[data-case]").getAttribute("data-case");
  const before = await caseAsShown(page, caseId);

  for (const headers of [{ Origin: "http://evil.example" }, { "Sec-Fetch-Site": "cross-site" }]) {
    for (const path of [`/cases/${caseId}/assign`, "/sign-out"]) {
      const answer = await page.request.post(node.url + path, { headers, form: { reader: "R1" } });
      assert.equal(answer.status(), 403, `${path} ${JSON.stringify(headers)}`);
      assert.match(await answer.text(), /別のサイトからの操作のため受け付けませんでした。/);
    }
  }

  assert.equal(await caseAsShown(page, caseId), before);
});

test("every answer says what browsers may do with it", async () => {
  const page = await newWindow(browser);
  await page.goto(`${node.url}/sign-in`);
  const script = await page.locator("script[src]").getAttribute("src");
  for (const path of ["/sign-in", "/no-such-page", "/worklist", "/healthz", "/assets/icon.svg", script]) {
    const answer = await page.request.get(node.url + path, { maxRedirects: 0 });
    const headers = answer.headers();
    const policy = headers["content-security-policy"] ?? "";
    assert.match(policy, /default-src 'self'/, path);
    assert.match(policy, /frame-ancestors 'none'/, path);
    assert.doesNotMatch(policy, /unsafe/, path);
    assert.equal(headers["x-content-type-options"], "nosniff", path);
  }

  await page.evaluate(() => document.body.insertAdjacentHTML("beforeend", '<img src="x" onerror="document.title = `taken over`">'));
  await page.waitForFunction(() => document.querySelector("body > img").complete);
  assert.notEqual(await page.title(), "taken over");
  assert.match(page.complaints.join("\n"), /Content Security Policy/);
});

// The last: it uses up the attempts of this address.
test("who keeps guessing must wait", async () => {
  const page = await newWindow(browser);
  await page.goto(`${node.url}/sign-in`);
  let answer;
  for (let attempt = 0; attempt < 30 && answer?.status() !== 429; attempt += 1) {
    const form = { account: "A1", password: `guess-number-${attempt}`, code: "123456" };
    answer = await page.request.post(`${node.url}/sign-in`, { headers: { Origin: node.url }, form });
  }
  assert.equal(answer.status(), 429);
  assert.ok(Number(answer.headers()["retry-after"]) > 0);
  assert.match(await answer.text(), /失敗が続いたため、しばらく受け付けません。/);
});

async function caseAsShown(page, caseId) {
  await page.goto(`${node.url}/cases/${caseId}`);
  return page.locator("main").innerText();
}
