// Makes the pictures that the README shows, into docs/images. Started by make pictures.
import assert from "node:assert/strict"
import { mkdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { openPage, signIn, startBrowser, startSystem } from "./system.js"

const folder = fileURLToPath(new URL("../../../../../docs/images/", import.meta.url))
mkdirSync(folder, { recursive: true })
const browser = await startBrowser()
const system = await startSystem()
try {
  const call = (...how) => system.call("DUEBELL_ADMIN_TOKEN", ...how)
  const task = (title, ms, more) => call("POST", "/api/tasks", { title, due_date: new Date(Date.now() + ms).toISOString(), ...more })
  const day = 86_400_000
  await call("PUT", "/api/preferences", {
    time_zone: "Europe/Berlin", language: "en", channels: { webhook: true, push: true },
    devices: [{ provider: "fcm", token: "a-token-of-a-device-that-is-rather-long-0123456789" }], webhook: { url: system.url + "/dev/webhooks/ada" },
  })
  await fetch(system.url + "/dev/faults", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ provider: "webhook", status: 500 }) })
  const shown = await task("Water the plants", 0, { notes: "The ones on the balcony, too.", channels: ["in_app", "push", "webhook"] })
  for (const title of ["Call the bank", "Send Ada the invoice", "Stand up and stretch"]) await task(title, 0, { channels: ["in_app"] })
  await task("Pay the rent", 5 * day, { reminders: ["0s", "1d"] })
  const until = Date.now() + 60_000
  for (let ready = false; !ready; await new Promise((resolve) => setTimeout(resolve, 200))) {
    const [list, letters, figures] = await Promise.all(["/api/notifications", "/api/dlq", "/api/analytics"].map((path) => call("GET", path)))
    ready = list.notifications.length >= 4 && letters.dead_letters.length > 0 && figures.days.length > 0
    assert.ok(ready || Date.now() < until, "the reminders have not all arrived")
  }

  const { page } = await openPage(browser, { viewport: { width: 960, height: 600 }, colorScheme: "light", reducedMotion: "reduce" })
  await signIn(page, system.url, /^admin/)
  const picture = async (name, path, content) => {
    await page.goto(system.url + path)
    await page.locator(content).first().waitFor()
    if (name === "operators") {
      await page.getByLabel("State", { exact: true }).selectOption("all")
      await page.locator(".letters li").first().waitFor()
    }
    await page.screenshot({ path: `${folder}${name}.png` })
  }
  await picture("inbox", "/console/inbox", ".notification")
  await picture("task", "/console/tasks/" + shown.id, ".steps")
  await picture("operators", "/console/operators", ".figures")
} finally {
  await browser.close()
  await system.stop()
}
