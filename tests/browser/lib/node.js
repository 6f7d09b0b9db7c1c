// A node of one's own: the real binary on free ports of loopback, its data in a temporary folder.
import { execFile, spawn } from "node:child_process";
import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { Authenticator } from "./authenticator.js";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const BINARY = path.resolve(process.env.DOKUEI_BINARY ?? path.resolve(ROOT, process.env.CARGO_TARGET_DIR ?? "target", "debug/dokuei"));
/** The caller's environment without settings of a node that they may have. */
const ENVIRONMENT = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("DOKUEI__")));
const FREE_PORTS = { DOKUEI__HTTP__BIND: "127.0.0.1:0", DOKUEI__DICOM__BIND: "127.0.0.1:0" };
const STOPS_WITHIN_MS = 60_000;

const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => process.exit(1));

export const testdata = (name) => path.join(ROOT, "testdata", name);

/** The demonstration: a hospital that has sent a head CT of 山田 太郎, one reader, one office user, two administrators. */
export async function demo() {
  const folder = await temporaryFolder();
  const node = await start(folder, "demo");
  for (const account of node.said.accounts) node.people[account.role] ??= person(node, account);
  node.dicom = node.said.dicom;
  node.url = node.said.url.replace(/\/$/, "");
  return node;
}

/** An empty node, set up by `prepare`, which is given a function that runs `dokuei` on it; with `settings` over the defaults. */
export async function emptyNode(settings, prepare) {
  const folder = await temporaryFolder();
  const dokuei = (...args) => command(folder, ...args);
  await dokuei("init");
  await prepare(dokuei);
  const node = await start(folder, "serve", settings);
  node.dicom = node.said.dicom;
  node.url = `http://${node.said.http}`;
  return node;
}

/** Somebody with an account, as the node's commands print it. */
export function person(node, { account, password, totp_secret, totp_secret_base32, sign_in_link }) {
  return { node, account, password, authenticator: new Authenticator(totp_secret ?? totp_secret_base32), link: sign_in_link };
}

async function temporaryFolder() {
  return mkdtemp(path.join(tmpdir(), "dokuei-browser-"));
}

/** Runs a command on a node's data folder and gives what it prints as JSON. */
async function command(folder, ...args) {
  const { stdout } = await promisify(execFile)(BINARY, ["--data-dir", path.join(folder, "data"), "--json", ...args], { cwd: ROOT, env: ENVIRONMENT });
  const line = stdout.trim().split("\n").pop();
  return line ? JSON.parse(line) : undefined;
}

/** Starts `dokuei demo` or `dokuei serve`; both print one line of JSON when everything can be used. */
async function start(folder, how, settings = {}) {
  const logPath = path.join(folder, "log");
  const log = await open(logPath, "w");
  const child = spawn(BINARY, [how, "--json", "--data-dir", path.join(folder, "data")], {
    cwd: ROOT,
    env: { ...ENVIRONMENT, ...FREE_PORTS, ...settings },
    stdio: ["ignore", "pipe", log.fd],
  });
  running.add(child);
  const ended = new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      running.delete(child);
      resolve(code ?? signal);
    });
  });
  await log.close();
  const line = new Promise((resolve) => {
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (more) => {
      text += more;
      if (text.includes("\n")) resolve(text);
    });
  });
  const said = await Promise.race([line, ended.then((code) => Promise.reject(new Error(`dokuei ${how} ended with ${code}`)))]).catch(
    async (error) => {
      throw new Error(`${error.message}\n${await readFile(logPath, "utf8")}`, { cause: error });
    },
  );
  return {
    said: JSON.parse(said),
    people: {},
    dataDir: path.join(folder, "data"),
    command: (...args) => command(folder, ...args),
    /** Asks the node to stop, gives its exit code, and removes what it kept. */
    stop: async () => {
      const impatient = setTimeout(() => child.kill("SIGKILL"), STOPS_WITHIN_MS);
      child.kill("SIGTERM");
      const code = await ended;
      clearTimeout(impatient);
      await rm(folder, { recursive: true, force: true });
      return code;
    },
  };
}
