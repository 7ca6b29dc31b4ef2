// A person's actions on the live page. `admin.rs` waits for each line of output; any other line fails the test.

import assert from "node:assert/strict";
import { createInterface } from "node:readline";

import { chromium } from "playwright-core";

const [endpoint, url, pictures] = process.argv.slice(2);
const say = (line) => console.log(line);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const told = async () => (await lines.next()).value;

const browser = await chromium.connectOverCDP(endpoint);
const page = await browser.contexts()[0].newPage();
page.setDefaultTimeout(20_000);
await page.setViewportSize({ width: 1600, height: 1000 });

// Must stay empty. The console also reports violations of the page's policy, and refused requests; one step below is
// about those.
const wrong = [];
page.on("console", (message) => {
  const isRefusal = message.text().includes("status of 4");
  if (["error", "warning"].includes(message.type()) && !isRefusal) wrong.push(message.text());
});
page.on("pageerror", (error) => wrong.push(String(error)));
page.on("request", (request) => {
  if (!request.url().startsWith(url) && !request.url().startsWith("data:")) wrong.push(`it asked ${request.url()}`);
});

/** Waits until an element has this text, with all its spaces alike. */
async function shows(selector, text) {
  const isShown = ([selector, text]) =>
    document.querySelector(selector)?.textContent.replace(/\s+/g, " ").trim() === text;
  await page.waitForFunction(isShown, [selector, text]).catch(async () => {
    assert.equal(await page.textContent(selector), text, selector);
  });
}

/** Writes a picture of all of the page. It is so high that the charts are in sight, and that there is no scroll bar. */
async function picture(name, width) {
  await page.setViewportSize({ width, height: 6_000 });
  await page.waitForFunction(() => [...document.querySelectorAll(".plot")].every((plot) =>
    plot.querySelector("canvas").clientWidth === plot.clientWidth));
  await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
  const height = await page.evaluate(() => document.body.offsetHeight);
  await page.screenshot({ path: `${pictures}/${name}.png`, clip: { x: 0, y: 0, width, height } });
}

async function published(streams) {
  await page.waitForFunction(() => !document.querySelector("#send[aria-disabled=true]"));
  const [, count] = (await page.textContent("#verdict")).match(/^Published to (\d+) streams? in [\d.]+ m?s\.$/);
  assert.equal(count, String(streams));
}

await page.goto(url);
await shows("#state", "Ready");
say("ready");
await shows("#streams", "1");
say("one stream");

await page.click("#message");
await page.keyboard.type("by hand");
await page.click("#send");
await page.waitForSelector("#verdict:visible");
await published(1);
assert.ok(await page.isHidden("#receipt"), "without a history there is no id");
say("published");

for (let i = 0; i < 2; i++) await page.keyboard.press("Shift+Tab");
await page.keyboard.type("greeting");
await page.keyboard.press("Shift+Tab");
await page.keyboard.press("Control+A");
await page.keyboard.type("by keys\n<b>alone</b>");
await page.keyboard.press("Control+Enter");
await published(1);
say("published");
assert.equal(await page.evaluate(() => document.activeElement.id), "message", "the focus stays where it was");

// Totals, the counts of publishes and the charts arrive separately. What the page publishes is no client's request.
await shows("#messages-note", "2 in all");
await shows('#publishes tr[data-key="accepted"] td:last-child', "0");
await page.waitForFunction(() => /at most [1-9.]/.test(document.querySelectorAll(".plot")[1].ariaLabel));
say("two messages");

await page.fill("#topic", "a".repeat(300));
await page.click("#send");
await page.waitForSelector("#verdict.bad");
assert.match(await page.textContent("#verdict"), /topic/);
await page.fill("#topic", "");
say("refused");

// Just short of a minute was once shown as no minute and 59 seconds.
const times = await page.evaluate(() =>
  [59.94, 59.96, 119.6, 3599.4, 3599.6, 86_399.6].map((seconds) => joined(time(seconds))));
assert.deepEqual(times, ["59.9 s", "1 min 0 s", "2 min 0 s", "59 min 59 s", "1 h 0 min", "1 d 0 h"]);

const peer = await told();
const row = page.locator("#slowest tr", { hasText: peer });
await row.waitFor();
await shows('#publishes tr[data-key="accepted"] td:last-child', "128");
await shows("#messages-note", "130 in all");
assert.match(await row.locator("td").nth(1).textContent(), /^[\d.]+ [KM]iB$/);
await picture("admin-page", 1600);
await page.setViewportSize({ width: 360, height: 740 });
const [content, width] = await page.evaluate(() => {
  const { scrollWidth, clientWidth } = document.documentElement;
  return [scrollWidth, clientWidth];
});
assert.ok(content <= width && width <= 360, `a telephone does not scroll sideways: ${content} in ${width}`);
await picture("admin-page-phone", 360);
await page.setViewportSize({ width: 1600, height: 1000 });
say("listed");

await told();
const button = row.getByRole("button", { name: "Disconnect" });
// It may say so for a moment alone.
await button.evaluate((button) => {
  window.labels = [];
  new MutationObserver(() => window.labels.push(button.textContent)).observe(button, { childList: true });
});
await button.click();
await page.waitForSelector("#slowest tr.gone");
assert.deepEqual(await page.evaluate(() => window.labels), ["Disconnecting…"]);
await page.mouse.move(0, 0);
await page.waitForSelector("#none-slow:visible");
await shows('#ended tr[data-key="disconnected"] td:last-child', "1");
await shows("#streams", "0");
say("disconnected");

say(wrong.length ? wrong.join("; ") : "nothing else was asked for, and nothing failed");
await shows("#state", "Connection lost");
say("lost");
await shows("#state", "Ready");
await shows("#messages-note", "0 in all");
say("back");
await page.click("#send");
await page.waitForSelector("#receipt:visible");
await published(0);
assert.match(await page.textContent("#id"), /^\S+$/);
say("with an id");
process.exit();
