// axe-core over report pages: desktop and phone, light and dark; also whether a page is wider than the screen.
//     npm install axe-core puppeteer-core && node benchmarks/accessibility.mjs recaudit-out/report.html recaudit-out/record.html
// CHROMIUM names the browser (default /usr/bin/chromium).
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import fs from 'node:fs';

const require = createRequire(process.cwd() + '/');
const puppeteer = require('puppeteer-core');
const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const rules = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'],
});
let found = 0;
for (const file of process.argv.slice(2)) {
  for (const [width, height] of [[1280, 900], [390, 800]]) {
    for (const scheme of ['light', 'dark']) {
      const page = await browser.newPage();
      await page.setViewport({ width, height });
      await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
      await page.setBypassCSP(true); // axe is a script, and the pages forbid every script
      await page.goto(pathToFileURL(file).href);
      await page.evaluate(axe);
      const answer = await page.evaluate((only) => axe.run(document, { runOnly: only }), rules);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      const told = answer.violations.map((rule) => `${rule.id} (${rule.impact}, ${rule.nodes.length})`);
      found += told.length + (over > 0 ? 1 : 0);
      console.log(`${file} ${width} px ${scheme}: ${told.join(', ') || 'no finding'}, ${over} px too wide`);
      await page.close();
    }
  }
}
await browser.close();
process.exit(found ? 1 : 0);
