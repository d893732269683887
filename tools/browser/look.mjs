// Inspects pages in headless Chromium in two views: wide and light, narrow and dark.
//
//   node look.mjs SCREENSHOTS PAGE...
//
// Prints one JSON document: for each page and view, the problems found and the contents.

import { readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { launch, VIEWS } from "./chromium.mjs";

const [screenshots, ...pages] = process.argv.slice(2);
const browser = await launch();
try {
  const seen = [];
  for (const page of pages) {
    for (const view of VIEWS) seen.push(await look(page, view));
  }
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
}

async function look(file, { name, ...view }) {
  const context = await browser.newContext(view);
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (message) => message.type() === "error" && wrong.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => wrong.push(`script: ${error.message}`));
  const url = pathToFileURL(file).href;
  page.on("request", (request) => request.url() !== url && wrong.push(`asks for ${request.url()}`));
  await page.goto(url);
  const shown = await page.evaluate(inspect);
  wrong.push(...shown.wrong);
  const screenshot = join(screenshots, `${basename(dirname(file))}-${name}.png`);
  await photograph(page, screenshot);
  await context.close();
  return { page: file, view: name, bytes: readFileSync(file).length, screenshot, ...shown, wrong };
}

// On a busy machine Chromium sometimes fails with "Unable to capture screenshot", which is not the page's fault.
async function photograph(page, path) {
  for (let tries = 3; ; tries -= 1) {
    try {
      return await page.screenshot({ path, fullPage: true });
    } catch (error) {
      if (tries === 1 || !error.message.includes("Unable to capture screenshot")) throw error;
    }
  }
}

// Runs in the page.
function inspect() {
  const wrong = [];
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) wrong.push(`wider than the window: ${root.scrollWidth} of ${root.clientWidth}`);
  const plots = [...document.querySelectorAll("svg")];
  for (const plot of plots) {
    const name = plot.getAttribute("aria-label");
    const { width, height } = plot.viewBox.baseVal;
    if (plot.getBoundingClientRect().width < 100) wrong.push(`${name}: hardly to be seen`);
    for (const text of plot.querySelectorAll("text")) {
      const box = text.getBBox();
      const isOutside = box.x < -1 || box.y < -1 || box.x + box.width > width + 1 || box.y + box.height > height + 1;
      if (isOutside) wrong.push(`${name}: "${text.textContent}" is cut off`);
    }
    const labels = [...plot.querySelectorAll("text")].map((text) => text.getBoundingClientRect());
    const overlap = labels.filter((a, at) =>
      labels.slice(at + 1).some((b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 2 && b.top < a.bottom - 2),
    );
    if (overlap.length) wrong.push(`${name}: ${overlap.length} texts overlap`);
  }
  const marks = plots.map((plot) => plot.querySelectorAll("circle, rect").length);
  return {
    wrong,
    title: document.title,
    sections: [...document.querySelectorAll("h2")].map((head) => head.textContent),
    plots: plots.length,
    marks_fewest: Math.min(...marks),
    tables: document.querySelectorAll("table").length,
  };
}
