// Makes the icons of the web app manifest out of icon.svg: npm run icons. They are kept beside the manifest.
import { readFileSync } from "node:fs"
import { startBrowser } from "../test/browser/system.js"

const svg = readFileSync(new URL("../src/icon.svg", import.meta.url), "utf8")
const square = svg.replace(' rx="7"', "") // systems round the corners of these by themselves
const browser = await startBrowser()
const page = await browser.newPage()
for (const [name, size, picture, scale] of [["icon-180", 180, square, 1], ["icon-192", 192, svg, 1], ["icon-512", 512, svg, 1], ["icon-maskable-512", 512, square, 0.8]]) {
  await page.setViewportSize({ width: size, height: size })
  await page.setContent(`<body style="margin:0;background:${scale < 1 ? "#2f5bd7" : "transparent"};display:grid;place-content:center;height:100vh">${picture.replace("<svg ", `<svg width="${size * scale}" height="${size * scale}" style="display:block" `)}</body>`)
  await page.screenshot({ path: new URL(`../public/${name}.png`, import.meta.url).pathname, omitBackground: true })
}
await browser.close()
