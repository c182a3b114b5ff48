// The links in messages in a real browser, without JavaScript: what a person does who reads an e-mail.
import assert from "node:assert/strict"
import { mkdirSync, readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { test } from "node:test"
import { fileURLToPath } from "node:url"
import { browser, openPage, runSystem, system } from "./system.js"

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")
const pictures = fileURLToPath(new URL("../../../../../build/screens/", import.meta.url))

mkdirSync(pictures, { recursive: true })
runSystem()

const call = (...how) => system.call("DUEBELL_TOKEN", ...how)

/** Has a task be told by e-mail, and returns it with the e-mail's links, by their names. */
async function told(title) {
  const task = await call("POST", "/api/tasks", { title, due_date: new Date(Date.now() - 1000).toISOString(), channels: ["email"] })
  for (const end = Date.now() + 60_000; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 50))) {
    const mail = (await call("GET", "/dev/messages")).find((m) => m.subject?.includes(title) && m.body.includes("/m/"))
    if (mail) return { task, links: Object.fromEntries([...mail.body.matchAll(/^(\S+): (\S+\/m\/\S+)$/gm)].map((m) => [m[1], m[2]])) }
  }
  throw new Error("no e-mail came for " + title)
}

const completed = async (task) => (await call("GET", "/api/tasks/" + task.id)).completed

test("Done, from an e-mail, without JavaScript", async () => {
  const { task, links } = await told("Pay <b>rent</b>")
  assert.deepEqual(Object.keys(links), ["Done", "Snooze"])
  const { context, page, wrong } = await openPage(browser, { javaScriptEnabled: false, viewport: { width: 360, height: 640 } })
  const answer = await page.goto(links.Done)
  assert.equal(answer.status(), 200)
  await page.getByRole("heading", { name: "Pay <b>rent</b>" }).waitFor()
  assert.equal(await completed(task), false, "looking has done it")

  await page.getByRole("button", { name: "Mark as done" }).click()
  await page.getByRole("heading", { name: "Done", exact: true }).waitFor()
  assert.equal(await completed(task), true)

  // Who comes back, and who reloads, are told so.
  await page.goto(links.Done)
  await page.getByRole("heading", { name: "This is done already" }).waitFor()
  assert.equal(await page.getByRole("button").count(), 0)
  assert.deepEqual(wrong, [])
  await context.close()
})

test("Snooze, from an e-mail, without JavaScript", async () => {
  const { task, links } = await told("Call the bank")
  const { context, page, wrong } = await openPage(browser, { javaScriptEnabled: false, viewport: { width: 360, height: 640 } })
  await page.goto(links.Snooze)
  const before = Date.now()
  await page.getByRole("button", { name: "In 1 hour" }).click()
  await page.getByRole("heading", { name: "Snoozed" }).waitFor()
  const until = Date.parse((await call("GET", "/api/tasks/" + task.id)).snoozed_until)
  assert.ok(until >= before + 3_600_000 - 1 && until <= Date.now() + 3_600_000, `until ${until}`)
  assert.deepEqual(wrong, [])
  await context.close()
})

// The page follows the reader's colours (pictures of both are left in build/screens), fits on a narrow screen whatever the title, and axe finds nothing.
test("the page in light and dark, on a narrow screen", async () => {
  const { links } = await told("Longest".repeat(60))
  const colours = new Set()
  for (const colorScheme of ["light", "dark"]) {
    const { context, page } = await openPage(browser, { colorScheme, viewport: { width: 360, height: 640 }, bypassCSP: true })
    await page.goto(links.Snooze)
    await page.getByRole("button", { name: "Tomorrow at 9:00" }).waitFor()
    const seen = await page.evaluate(() => ({
      wide: document.documentElement.scrollWidth, colour: getComputedStyle(document.body).color, size: parseFloat(getComputedStyle(document.querySelector("button")).fontSize),
    }))
    assert.ok(seen.wide <= 360, `it is ${seen.wide} wide`)
    assert.ok(seen.size >= 16, `a button's text is ${seen.size} px high`)
    colours.add(seen.colour)
    await page.screenshot({ path: `${pictures}links-${colorScheme}.png`, fullPage: true })
    await page.evaluate(axe)
    const { violations } = await page.evaluate(() => window.axe.run())
    assert.deepEqual(violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(" ")}`), [])
    await context.close()
  }
  assert.equal(colours.size, 2, `the text has ${[...colours]}`)
})

test("a link that is cut says so", async () => {
  const { links } = await told("Water the plants")
  const { context, page } = await openPage(browser, { javaScriptEnabled: false, locale: "de-DE" })
  const answer = await page.goto(links.Done.slice(0, -3))
  assert.equal(answer.status(), 404)
  await page.getByRole("heading", { name: "Dieser Link ist nicht gültig" }).waitFor()
  assert.equal(await page.getByText("Water the plants").count(), 0)
  await context.close()
})
