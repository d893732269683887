// Tries the page of the web function in headless Chromium, in two views: wide and light, narrow and dark.
//
//   node try.mjs SCREENSHOTS URL
//
// Prints one JSON document: for each view, what is wrong and what was answered. A wrong zone, a wrong distance and a trip are asked for
// by the keyboard, a zone is chosen on the map, and axe-core judges the page before and after.

import { createRequire } from "node:module";
import { join } from "node:path";
import { launch, VIEWS } from "./chromium.mjs";

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const [screenshots, url] = process.argv.slice(2);
const browser = await launch();
try {
  const seen = [];
  for (const view of VIEWS) seen.push(await tried(view));
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
}

async function tried({ name, ...view }) {
  // The page's policy forbids foreign scripts, axe-core among them.
  const context = await browser.newContext({ ...view, bypassCSP: true });
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (message) => message.type() === "error" && wrong.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => wrong.push(`script: ${error.message}`));
  page.on("request", (request) => !request.url().startsWith(url) && !request.url().startsWith("data:") && wrong.push(`asks for ${request.url()}`));
  await page.goto(url);
  await page.addScriptTag({ path: AXE });
  const judge = async (when) => {
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    wrong.push(...violations.map(({ id, nodes }) => `${when}: axe ${id}: ${nodes.map((node) => node.html).join(" ").slice(0, 200)}`));
    const [needed, there] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
    if (needed > there) wrong.push(`${when}: wider than the window: ${needed} of ${there}`);
  };
  const text = (id) => page.textContent(`#${id}`);
  await judge("at first");

  await page.focus("#from");
  await page.keyboard.type("Atlantis");
  await page.keyboard.press("Tab");
  await page.keyboard.type("east harlem north");
  await page.fill("#miles", "-3");
  await page.fill("#time", "2021-02-30 08:15");
  await page.keyboard.press("Enter");
  const messages = { zone: await text("from-wrong"), miles: await text("miles-wrong"), time: await text("time-wrong"), focus: await page.evaluate(() => document.activeElement.id) };
  await judge("with messages");

  await page.fill("#from", "jfk");
  await page.fill("#miles", "");
  await page.fill("#time", "2021-03-03 08:15");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => !document.getElementById("answer").hidden || document.getElementById("form-wrong").textContent, null, { timeout: 10_000 })
    .catch(() => wrong.push("a good trip is not answered"));
  const answer = {};
  for (const id of ["minutes", "interval", "tip", "distance", "duration-sum"]) answer[id] = await text(id);
  answer.bars = await page.locator("#duration-bars li").count();
  await page.locator("#models summary").first().click();
  await page.waitForSelector("#models details[open] dl", { timeout: 10_000 });
  answer.card = await page.locator("#models details[open] dl").first().textContent();
  await judge("with an answer");
  await page.screenshot({ path: join(screenshots, `page-${name}.png`), fullPage: true });

  await page.locator('#map circle[data-zone="130"]').click();
  const chosen = await page.inputValue("#from");
  await context.close();
  return { view: name, wrong, messages, answer, chosen };
}
