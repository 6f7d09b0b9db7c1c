// An authenticator app: RFC 6238 with the defaults that every app has, SHA-1, six digits, steps of 30 s.
import { createHmac } from "node:crypto";

const STEP_MS = 30_000;
const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

export class Authenticator {
  #key;
  #used = 0;

  constructor(secret) {
    const bits = [...secret].map((letter) => BASE32.indexOf(letter).toString(2).padStart(5, "0")).join("");
    this.#key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  }

  /** A code that was not given before. The node takes one step ahead of its clock, so two in a row need no waiting; a third does. */
  fresh() {
    const now = this.#now();
    this.#used = Math.max(now, this.#used + 1);
    if (this.#used > now + 1) throw new Error("a third code within half a minute would be ahead of the node's clock");
    return this.#code(this.#used);
  }

  /** Six digits that no step around now has. */
  wrong() {
    const near = [-3, -2, -1, 0, 1, 2, 3].map((by) => this.#code(this.#now() + by));
    return ["000000", "111111", "222222", "333333", "444444", "555555", "666666", "777777"].find((code) => !near.includes(code));
  }

  #now() {
    return Math.floor(Date.now() / STEP_MS);
  }

  #code(step) {
    const counter = Buffer.alloc(8);
    counter.writeBigUInt64BE(BigInt(step));
    const mac = createHmac("sha1", this.#key).update(counter).digest();
    const number = mac.readUInt32BE(mac[19] & 0xf) & 0x7fffffff;
    return String(number % 1_000_000).padStart(6, "0");
  }
}
