// Every screen, in light and dark, on a desk and on a phone of 360 pixels, in English and in
// German: axe finds nothing, and nothing is wider than the screen. Pictures of them are left
// in build/screens, to be looked at.
import { test } from "node:test"
import { checkLooks } from "./looks.js"
import { browser, eventually, openPage, runSystem, signIn, system } from "./system.js"

let fired

runSystem(async () => {
  const call = (...how) => system.call("DUEBELL_ADMIN_TOKEN", ...how)
  const from = (ms) => new Date(Date.now() + ms).toISOString()
  await call("PUT", "/api/preferences", {
    time_zone: "Europe/Berlin", language: "en", channels: { webhook: true, sms: true }, emails: ["ada@example.org"], phones: ["+4915112345678"],
    devices: [{ provider: "fcm", token: "a-token-of-a-device-that-is-rather-long-0123456789" }],
    webhook: { url: system.url + "/dev/webhooks/ada" },
    quiet_hours: [{ from: "22:00", to: "07:00" }, { from: "07:00", to: "10:00", days: ["sa", "su"] }], bundle: { email: "15m" }, agenda: { channel: "email", at: "08:00" },
  })
  await fetch(system.url + "/dev/faults", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ provider: "webhook", status: 500 }) })
  fired = await call("POST", "/api/tasks", { title: "Water the plants", notes: "The ones on the balcony, too.", due_date: from(0), channels: ["in_app", "webhook", "email"], urgent: true }) // urgent: also at night
  const snoozed = await call("POST", "/api/tasks", { title: "Call the bank about the long letter that they have sent, before it is too late for anything", due_date: from(0) })
  await call("POST", "/api/tasks", { title: "לקנות חלב", due_date: from(0) })
  await call("POST", "/api/tasks", { title: "Stretch", due_date: from(3_600_000), reminders: ["0s", "30m"] })
  await call("POST", "/api/tasks", { title: "Pay the rent", due_date: from(5 * 86_400_000), reminders: ["24h"] })
  await call("POST", "/api/tasks", { title: "Some day" })
  await call("POST", "/api/tasks", { title: "x".repeat(500), due_date: from(90 * 86_400_000) })
  await eventually(async () => {
    const [list, letters, figures] = await Promise.all(["/api/notifications", "/api/dlq", "/api/analytics"].map((path) => call("GET", path)))
    return list.notifications.length >= 3 && letters.dead_letters.length > 0 && figures.days.length > 0
  })
  await call("POST", `/api/tasks/${snoozed.id}/snooze`, { for: "1d" })
})

const screens = [
  ["inbox", "/console/inbox", ".notification"],
  ["tasks", "/console/tasks", ".task"],
  ["task", () => "/console/tasks/" + fired.id, ".timeline .ahead"],
  ["preferences", "/console/preferences", ".addresses li"],
  ["operators", "/console/operators", ".health"],
  ["nowhere", "/console/nowhere", ".empty"],
]

for (const theme of ["light", "dark"]) {
  for (const [place, viewport] of [["desk", { width: 1280, height: 860 }], ["phone", { width: 360, height: 740 }]]) {
    for (const locale of place === "desk" ? ["en-GB"] : ["en-GB", "de-DE"]) {
      test(`${theme}, ${place}, ${locale}`, async () => {
        const { context, page } = await openPage(browser, { viewport, locale, colorScheme: theme, bypassCSP: true, reducedMotion: "reduce" })
        const check = (name) => checkLooks(page, `${name}-${theme}-${place}-${locale.slice(0, 2)}`, { fullPage: name !== "inbox" })
        await page.goto(system.url)
        await page.getByRole("button").waitFor()
        await check("welcome")
        await signIn(page, system.url, /^admin/)
        for (const [name, path, content] of screens) {
          await page.goto(system.url + (typeof path === "string" ? path : path()))
          await page.locator(content).first().waitFor()
          if (name === "operators") {
            await page.locator("select").first().selectOption("all")
            await page.locator(".letters li").first().waitFor()
          }
          await check(name)
        }
        await page.goto(system.url + "/console/tasks")
        const line = page.locator("[name=line]")
        await line.fill("every monday 8am water the plants on the balcony, as each week")
        await page.locator(".understood .muted").nth(1).waitFor() // the next times
        await check("line")
        await line.fill("buy milk")
        await page.locator("input[type=file]").setInputFiles({ name: "tasks.csv", mimeType: "text/csv", buffer: Buffer.from("title,due_on\n,2026-12-01\nStretch,soon\n") })
        await page.locator(".import td").first().waitFor()
        await page.locator(".task a").first().focus()
        await page.keyboard.press("x")
        await page.locator(".bulk").waitFor()
        await check("several")
        await line.press("Enter")
        await page.locator("[name=due]").fill("2031-01-31T02:30")
        await page.locator("[data-field=recurrence] select").first().selectOption("MONTHLY")
        await page.locator(".next li").first().waitFor()
        await page.locator("[name=repeat]").check()
        await check("fields")
        await page.goto(system.url + "/console/tasks/" + fired.id)
        await page.getByRole("switch").check()
        await page.getByRole("button", { name: /^(Edit|Bearbeiten)$/ }).click()
        await check("edit")
        await page.getByRole("button", { name: /^(Delete|Löschen)$/ }).click()
        await page.getByRole("dialog").waitFor()
        await check("dialog")
        await page.goto(system.url + "/console/inbox")
        await page.getByRole("button", { name: /^(Snooze|Später erinnern): / }).first().press("Enter")
        await page.getByRole("dialog").waitFor()
        await check("snooze")
        await page.keyboard.press("Escape")
        await page.getByRole("dialog").waitFor({ state: "detached" })
        await page.keyboard.press("?")
        await page.getByRole("dialog").waitFor()
        await check("keys")
        await context.clearCookies() // a new user
        await signIn(page, system.url, /^other/)
        await page.getByRole("button", { name: /^(Try it|Ausprobieren)/ }).waitFor()
        await check("empty")
        await context.close()
      })
    }
  }
}
