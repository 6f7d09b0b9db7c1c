// What a facility does on its pages: it asks its question, says that everything is sent, and takes back what was sent by mistake.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { imageShown, launch, newWindow, signIn, text } from "./lib/browser.js";
import { emptyNode, person, testdata } from "./lib/node.js";
import { storyOf } from "./lib/story.js";

const QUESTION = "交通外傷。\n頭蓋内出血・骨折の有無をお願いします。";

let node, browser;
const people = {};

before(async () => {
  // Nothing settles by itself, so that only what the facility says can complete a study.
  const settings = { DOKUEI__WORKLIST__SETTLE_QUIET_SECONDS: "86400" };
  const prepare = async (dokuei) => {
    await dokuei("facility", "add", "--id", "HOSP1", "--name", "デモ病院", "--issuer", "1.2.392.100495.20.3.51.13610001234", "--calling-aet", "HOSP1");
    people.reader = await dokuei("reader", "add", "--id", "R1", "--name", "Sato^Hanako=佐藤^花子=さとう^はなこ", "--modality", "CT");
    people.facility = await dokuei("user", "add", "--id", "H1", "--role", "facility", "--facility", "HOSP1", "--name", "デモ病院 放射線科");
    people.office = await dokuei("user", "add", "--id", "O1", "--role", "office", "--name", "事務局");
  };
  [node, browser] = await Promise.all([emptyNode(settings, prepare), launch()]);
  for (const role of Object.keys(people)) people[role] = person(node, people[role]);
});

after(async () => {
  await browser?.close();
  assert.equal(await node?.stop(), 0, "the node did not stop cleanly");
});

test("a study from its arrival to its withdrawal", async (t) => {
  const [facility, reader, office] = await Promise.all([newWindow(browser), newWindow(browser), newWindow(browser)]);
  const step = storyOf(t, facility);
  const caseRow = (page) => page.locator("tr[data-case]", { hasText: "CompressedSamples CT1" });
  let casePath;

  await step("the worklist is empty, and the facility has sent nothing", async () => {
    await signIn(reader, people.reader);
    await reader.getByText("読影待ちの依頼はありません。").waitFor();
    await signIn(office, people.office);
    await office.getByText("読影依頼はまだありません。").waitFor();
    await signIn(facility, people.facility);
    await facility.getByText("受信した検査はまだありません。").waitFor();
  });

  await step("a study that arrives shows itself on the open page", async () => {
    await node.command("send", node.dicom, testdata("transfer_syntax/CT_small.dcm"), "--called", "DOKUEI", "--calling", "HOSP1");
    const row = facility.locator("tr[data-study]", { hasText: "CompressedSamples CT1" });
    await row.getByText("受信中").waitFor();
    await row.getByText("受信完了後に受付").waitFor();
    await row.getByRole("link", { name: "CompressedSamples CT1" }).click();
    await facility.waitForURL("**/studies/*");
  });

  await step("the facility asks its question", async () => {
    await facility.getByLabel("臨床情報・検査目的").fill(QUESTION);
    await facility.getByLabel("連絡先電話番号").fill("088-000-0000");
    await facility.getByLabel("依頼医").fill("救急外来");
    await facility.getByLabel("優先度").selectOption({ label: "緊急" });
    await facility.getByRole("button", { name: "依頼内容を保存" }).click();
    await facility.getByText("依頼内容を保存しました。").waitFor();
    assert.equal(await facility.getByLabel("臨床情報・検査目的").inputValue(), QUESTION);
    assert.equal(await facility.getByLabel("優先度").inputValue(), "emergency");
  });

  await step("送信完了 brings the study to the readers at once", async () => {
    await facility.getByRole("button", { name: "送信完了" }).click();
    await facility.getByText("送信完了を受け付けました。").waitFor();

    const row = caseRow(reader);
    await row.getByText("緊急").waitFor();
    assert.match(await text(row), /デモ病院/);
    await row.getByRole("button", { name: "読影する" }).click();
    await imageShown(reader);
    assert.ok((await text(reader.locator(".request"))).includes(QUESTION), "the reader does not see the question");
    await reader.getByText("088-000-0000").waitFor();
    casePath = new URL(reader.url()).pathname.replace(/\/read$/, "");
    await facility.reload();
    await facility.getByText("受信完了", { exact: true }).waitFor();
    assert.equal(await facility.getByRole("button", { name: "送信完了" }).count(), 0);
  });

  await step("取消 asks for a reason and a confirmation", async () => {
    await facility.getByRole("button", { name: "取消" }).click();
    await facility.getByRole("heading", { name: "この検査を取り消します" }).waitFor();
    const withdraw = facility.getByRole("button", { name: "取消" });
    await withdraw.click();
    assert.ok(await facility.getByLabel("取消の理由").evaluate((field) => field.matches(":invalid")));
    const study = new URL(facility.url()).pathname;
    const unconfirmed = await facility.request.post(node.url + study, { headers: { Origin: node.url }, form: { reason: "患者間違い" } });
    assert.equal(unconfirmed.status(), 422);
    assert.match(await unconfirmed.text(), /確認欄にチェックし、理由を入力してください。/);
    await facility.getByLabel("取消の理由").fill("患者間違い");
    await facility.getByLabel("患者と検査を確認しました").check();
    await withdraw.click();
    await facility.getByText("検査を取り消しました。").waitFor();
    await facility.getByText("患者間違い").waitFor();
  });

  await step("who was reading it is told and cannot go on", async () => {
    await reader.getByLabel("所見").fill("取り消された検査の所見。");
    await reader.locator("#save-state[data-state=refused]", { hasText: "この検査は施設が取り消しました。" }).waitFor();
    await reader.goto(`${node.url}/worklist`);
    await reader.getByText("読影待ちの依頼はありません。").waitFor();
  });

  await step("the office sees that it was withdrawn", async () => {
    await caseRow(office).locator(".state-withdrawn", { hasText: "取消" }).waitFor();
    await office.goto(node.url + casePath);
    await office.getByRole("heading", { name: "CompressedSamples CT1" }).waitFor();
    assert.match(await text(office.locator("main")), /取消/);
  });

  const complaints = [facility, reader, office].flatMap((page) => page.complaints);
  assert.deepEqual(complaints.filter((complaint) => !/status of 410/.test(complaint)), [], "the browser complained");
});
