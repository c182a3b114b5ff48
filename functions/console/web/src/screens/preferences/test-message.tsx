// Tries a channel: a message to oneself, and what came of it.
import { useState } from "preact/hooks"
import { ok, type Channel, type Problem, type TestResult } from "../../api/client"
import { t } from "../../text"
import { asProblem, useShared } from "../../ui/context"
import { Button, Trouble } from "../../ui/parts"

export function TestMessage({ channel }: { channel: Channel }) {
  const { client } = useShared()
  const [busy, setBusy] = useState(false)
  const [result, setResult] = useState<TestResult>()
  const [problem, setProblem] = useState<Problem>()
  const text = t().preferences.test
  const send = async () => {
    setBusy(true)
    setResult(undefined)
    setProblem(undefined)
    try {
      setResult(await ok(client.POST("/api/preferences/test", { body: { channel } })))
    } catch (error) {
      setProblem(asProblem(error))
    } finally {
      setBusy(false)
    }
  }
  return (
    <>
      <Button kind="quiet" aria-label={`${text.send}: ${t().channels[channel]}`} aria-disabled={busy} onClick={() => { if (!busy) void send() }}>{busy ? text.sending : text.send}</Button>
      <div class="test-result" role="status">
        {result?.deliveries.map((d) => (
          <p key={d.target}>
            <span class={`tag ${d.state}`}>{text.state[d.state]}</span> {d.target && <span class="address-text">{d.target}</span>} {d.error && <small dir="auto">{d.error}</small>}
          </p>
        ))}
        {problem && <Trouble problem={problem} />}
      </div>
    </>
  )
}
