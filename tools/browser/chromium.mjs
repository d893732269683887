// Starts headless Chromium with a font of its own, and names the two views of every check: wide and light, narrow and dark.

import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

// The package contains the libraries that Chromium needs on Lambda, and unpacks them only if these variables are set.
process.env.AWS_LAMBDA_JS_RUNTIME = "nodejs20.x";
process.env.AWS_EXECUTION_ENV = "AWS_Lambda_nodejs20.x";
process.env.FONTCONFIG_FILE = join(dirname(fileURLToPath(import.meta.url)), "fonts.conf");
const { default: chromium } = await import("@sparticuz/chromium");
const { chromium: playwright } = await import("playwright-core");

export const VIEWS = [
  { name: "wide", viewport: { width: 1280, height: 900 }, colorScheme: "light" },
  { name: "narrow", viewport: { width: 390, height: 844 }, colorScheme: "dark" },
];

export async function launch() {
  return playwright.launch({
    executablePath: await chromium.executablePath(),
    // The package's default arguments are not used: they are for one page in a single process.
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
    headless: true,
  });
}
