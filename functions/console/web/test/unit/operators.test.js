// What operators are told: what needs them, where they read what to do, and what they see of addresses.
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { test } from "node:test"
import { load } from "./load.js"

const { findings } = await load("screens/operators/findings.ts")
const { maskedTarget, ownTarget } = await load("ui/targets.ts")
const root = new URL("../../../../../", import.meta.url)

const now = Date.parse("2026-12-01T12:00:00Z")
const run = (seconds, more) => ({ ended_at: new Date(now - seconds * 1000).toISOString(), complete: true, failed: [], ...more })
const well = {
  as_of: "2026-12-01T12:00:00Z", oldest_waiting_seconds: { firing: 0, hosts: 0, providers: 0, events: 0 }, lateness: { reminders: 10, p50_seconds: 0.01, p99_seconds: 0.5 },
  last_sweep: run(30), last_cleanup: run(3600), dapr: { state: "present", pending: 0 }, database: { version: "15", answer_seconds: 0.001 },
  providers: [{ channel: "email", provider: "ses", sent: 100, failed: 1, latest_error: "400", set_up: true }], dead_letters: { retrying: 3, dead: 0, resolved: 1, discarded: 1 },
  versions: { duebell: "1", schema: 34, tzdata: "2026a" },
}
const cases = [
  ["", {}],
  ["", { last_cleanup: null }], // the first night is still to come
  ["", { lateness: { reminders: 0, p50_seconds: null, p99_seconds: null } }],
  ["neverSwept", { last_sweep: null, dapr: { state: "unknown", pending: 0 } }],
  ["notSwept", { last_sweep: run(200) }],
  ["sweepFailed", { last_sweep: run(10, { complete: false, failed: ["wake_sender"] }) }],
  ["sweepCutShort", { last_sweep: run(10, { complete: false }) }],
  ["cleanupFailed", { last_cleanup: run(10, { failed: ["unknown_jobs"] }) }],
  ["notCleaned", { last_cleanup: run(27 * 3600) }],
  ["firing", { oldest_waiting_seconds: { ...well.oldest_waiting_seconds, firing: 121 } }],
  ["providers hosts events", { oldest_waiting_seconds: { firing: 0, hosts: 300, providers: 300, events: 300 } }],
  ["late", { lateness: { reminders: 10, p50_seconds: 1, p99_seconds: 11 } }],
  ["daprLost", { dapr: { state: "lost", pending: 0 } }],
  ["daprUnknown", { dapr: { state: "unknown", pending: 0 } }],
  ["daprRefuses", { dapr: { state: "present", pending: 4 } }],
  ["database", { database: { version: "15", answer_seconds: 2 } }],
  ["dead", { dead_letters: { ...well.dead_letters, dead: 1 } }],
  ["provider", { providers: [{ ...well.providers[0], sent: 4, failed: 1 }] }],
  ["", { providers: [{ ...well.providers[0], sent: 1, failed: 1 }] }], // too few to say
]

test("what needs somebody is found, and nothing else", () => {
  for (const [want, change] of cases) {
    assert.equal(findings({ ...well, ...change }, now).map((f) => f.is).join(" "), want, JSON.stringify(change))
  }
})

test("each finding has a page that says what to do", () => {
  const anchors = readFileSync(new URL("docs/operations.md", root), "utf8").split("\n").filter((line) => /^#+ /.test(line))
    .map((line) => line.replace(/^#+ /, "").toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-"))
  const all = cases.flatMap(([, change]) => findings({ ...well, ...change }, now))
  assert.ok(all.length > 15)
  for (const f of all) assert.ok(anchors.includes(f.page), `${f.is}: docs/operations.md has no ${f.page}`)
})

test("each state and reason of a delivery has words in each language", async () => {
  const source = readFileSync(new URL("shared/store/deliveries.go", root), "utf8")
  const constants = (type) => [...source.matchAll(new RegExp(`^\\t\\w+\\s+${type}\\s+= "(\\w+)"`, "gm"))].map((m) => m[1])
  const states = [...constants("DeliveryState"), "held"]
  const reasons = constants("Reason")
  assert.ok(states.length > 10 && reasons.length > 10, `${states} ${reasons}`)
  for (const [name, path] of [["en", "text/en.ts"], ["de", "text/de.ts"]]) {
    const text = (await load(path))[name].timeline
    assert.deepEqual(states.filter((s) => !text.state[s]), [])
    assert.deepEqual(reasons.filter((r) => !text.reason[r]), [])
    for (const reason of reasons) {
      const step = text.step({ at: "", kind: "ended", text: "", state: "cancelled", reason }, "")
      assert.ok(step.endsWith(text.reason[reason]), step)
    }
  }
})

test("addresses are masked", () => {
  for (const [channel, target, want] of [
    ["email", "ada@example.org", "a***@example.org"], ["email", "@", "***"], ["email", "é@x", "é***@x"], ["email", '"a@b"@example.org', '"***@example.org'],
    ["sms", "+4915112345678", "+49***78"], ["sms", "+4912", "***"],
    ["webhook", "https://example.org/secret?x=1", "https://example.org/***"], ["webhook", "https://user:word@example.org/", "***"], ["webhook", "nonsense", "***"],
    ["push", "fcm:abcdefghijk", "fcm …hijk"], ["push", "webpush:https://push.example.org/secret 0123", "https://push.example.org/***"],
    ["in_app", "", ""], ["event", "kafka", "***"],
  ]) {
    assert.equal(maskedTarget(channel, target), want, `${channel} ${target}`)
  }
  assert.equal(ownTarget("email", "ada@example.org"), "ada@example.org")
})
