// A person's actions on the page of `/`. `front.rs` waits for each line of output; any other line fails the test.

import assert from "node:assert/strict";

import { chromium } from "playwright-core";

const [endpoint, url] = process.argv.slice(2);
const say = (line) => console.log(line);

const browser = await chromium.connectOverCDP(endpoint);
const page = await browser.contexts()[0].newPage();
page.setDefaultTimeout(20_000);

// Must stay empty. The console also reports violations of the page's policy; the page itself is a 404.
const wrong = [];
page.on("console", (message) => {
  const isItself = message.text().includes("status of 404");
  if (["error", "warning"].includes(message.type()) && !isItself) wrong.push(message.text());
});
page.on("pageerror", (error) => wrong.push(String(error)));

/** Waits until the first message is this one, as text. */
async function shows(message) {
  const isFirst = (text) => document.querySelector("#events li")?.textContent === text;
  await page.waitForFunction(isFirst, message);
}

await page.goto(url);
await page.waitForFunction(() => document.querySelector("#state").textContent === "connected");
const lines = await page.textContent("pre");
assert.ok(lines.includes(`curl -N ${url}sse `) && lines.includes(`curl -d 'hello' ${url}broadcast `), lines);
say("connected");
await shows("<b>a</b>\nb");
say("shown");
await page.fill("#message", "by hand");
await page.click("#publish button");
await shows("by hand");
await page.waitForFunction(() => document.querySelector("#message").value === "");
assert.deepEqual(wrong, []);
say("published");
