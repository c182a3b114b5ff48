// Checks of how a screen looks: axe reports nothing, and nothing is wider than the screen. A picture is kept in
// build/screens.
import assert from "node:assert/strict"
import { mkdirSync, readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { fileURLToPath } from "node:url"

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")
const pictures = fileURLToPath(new URL("../../../../../build/screens/", import.meta.url))

/** Takes a picture of the page, and checks that it is accessible and fits the screen. The page must be opened with bypassCSP. */
export async function checkLooks(page, name, { fullPage = true } = {}) {
  mkdirSync(pictures, { recursive: true })
  await page.screenshot({ path: `${pictures}${name}.png`, fullPage })
  await page.evaluate(axe)
  const { violations, passes } = await page.evaluate(() => window.axe.run())
  assert.ok(passes.length > 10, `axe has looked at ${passes.length} rules only`)
  assert.deepEqual(violations.map((v) => `${name}: ${v.id}: ${v.nodes.map((n) => n.html + " " + n.failureSummary).join("\n")}`), [])
  const [wide, width] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth])
  assert.ok(wide <= width, `${name} is ${wide} pixels wide on ${width}`)
}
