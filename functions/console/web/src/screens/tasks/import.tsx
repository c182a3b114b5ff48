// The import of tasks from a file. The user chooses the file by a button, or drops it on the list.
import type { ComponentChildren } from "preact"
import { useEffect, useRef, useState } from "preact/hooks"
import { Problem, type Schemas } from "../../api/client"
import { t } from "../../text"
import { asProblem, useShared } from "../../ui/context"
import { Button, Confirm, Trouble } from "../../ui/parts"

type Failure = Schemas["BatchFailure"]
type Summary = Schemas["BatchSummary"]

interface Result {
  summary: Summary
  failures: Failure[]
}

type State =
  | { step: "sending"; percent: number }
  | { step: "done"; result: Result }
  | { step: "failed"; problem: Problem }

const largest = 134_217_728
const shownFailures = 50
const importedKey = "duebell.imported."

/** Sends a file, and calls onPercent with how much of it was sent. An import that broke off continues if it is sent
 * again with the same key. */
function send(file: File, token: string, key: string, onPercent: (percent: number) => void): Promise<Result> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest() // fetch does not report how much was sent
    request.open("POST", "/api/tasks/batch")
    request.setRequestHeader("Authorization", "Bearer " + token)
    request.setRequestHeader("Content-Type", /\.(ndjson|jsonl)$/i.test(file.name) ? "application/x-ndjson" : "text/csv")
    request.setRequestHeader("Idempotency-Key", key)
    request.upload.onprogress = (e) => onPercent(Math.floor((100 * e.loaded) / e.total))
    const broken = () => reject(new Problem(-1, t().tasks.import.broke))
    request.onerror = broken
    request.onload = () => {
      if (request.status !== 200) return reject(new Problem(request.status, detailOf(request.responseText) || request.statusText))
      const lines = request.responseText.split("\n").filter(Boolean).map((line) => JSON.parse(line) as Failure | Summary)
      const summary = lines.pop()
      if (summary && "created" in summary) resolve({ summary, failures: lines as Failure[] })
      else broken()
    }
    request.send(file)
  })
}

function detailOf(answer: string): string {
  try {
    return String((JSON.parse(answer) as { detail?: unknown }).detail ?? "")
  } catch {
    return ""
  }
}

async function hashOf(file: File): Promise<string> {
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", await file.arrayBuffer()))
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("")
}

/** Returns how many times this tab has imported the whole file. */
const timesImported = (hash: string) => Number(sessionStorage.getItem(importedKey + hash) ?? 0)

/** Writes the refused lines as a table: the line, the reason, and the original text. */
async function refusedTable(file: File, failures: Failure[]): Promise<Blob> {
  const bytes = new Uint8Array(await file.slice(0, 2).arrayBuffer())
  const encoding = bytes[0] === 0xff && bytes[1] === 0xfe ? "utf-16le" : bytes[0] === 0xfe && bytes[1] === 0xff ? "utf-16be" : "utf-8"
  const lines = new TextDecoder(encoding).decode(await file.arrayBuffer()).split("\n")
  const cell = (value: string | number) => `"${String(value).replaceAll('"', '""')}"`
  const rows = failures.map((f) => [f.line, f.last_line, f.error, lines.slice(f.line - 1, f.last_line).join("\n").replace(/\r$/, "")])
  return new Blob(["\ufeff", [["line", "last_line", "reason", "text"], ...rows].map((row) => row.map(cell).join(",")).join("\r\n"), "\r\n"], { type: "text/csv" })
}

/** Takes files that are dropped on its children or chosen by its button. children gets the parts to draw: the button,
 * and the state of the import. */
export function Import({ onImported, children }: { onImported(): void; children: (parts: { button: ComponentChildren; card: ComponentChildren }) => ComponentChildren }) {
  const { session, say } = useShared()
  const [file, setFile] = useState<File>()
  const [state, setState] = useState<State>()
  const [over, setOver] = useState(false)
  const [again, setAgain] = useState<() => void>()
  const input = useRef<HTMLInputElement>(null)
  const text = t().tasks.import
  const busy = state?.step === "sending"

  // Leaving the page would break the import off, so the browser asks first.
  useEffect(() => {
    if (!busy) return
    const ask = (e: BeforeUnloadEvent) => e.preventDefault()
    addEventListener("beforeunload", ask)
    return () => removeEventListener("beforeunload", ask)
  }, [busy])

  const run = async (file: File, hash: string, key: string) => {
    setFile(file)
    setState({ step: "sending", percent: 0 })
    try {
      const result = await send(file, session.token, key, (percent) => setState({ step: "sending", percent }))
      sessionStorage.setItem(importedKey + hash, String(timesImported(hash) + 1))
      setState({ step: "done", result })
      onImported()
    } catch (error) {
      const problem = asProblem(error)
      if (problem.status === 401) session.renew()
      setState({ step: "failed", problem })
      onImported() // some may have been created
    }
  }
  const take = async (file: File) => {
    if (!/\.(csv|tsv|txt|ndjson|jsonl)$/i.test(file.name) && file.type !== "text/csv") return say(text.wrongFile(file.name), "problem")
    if (file.size > largest) return say(text.tooLarge, "problem")
    const hash = await hashOf(file)
    const times = timesImported(hash)
    // The key stays the same until the whole file was imported. So an import that broke off continues,
    // also after a reload.
    const begin = () => void run(file, hash, times === 0 ? hash : `${hash}-${times}`)
    if (times === 0) begin()
    else setAgain(() => begin)
  }
  const drop = (e: DragEvent) => {
    e.preventDefault()
    setOver(false)
    const files = e.dataTransfer?.files
    if (busy || !files || files.length === 0) return
    if (files.length > 1) return say(text.oneFile, "problem")
    void take(files[0]!)
  }
  const button = (
    <>
      <input ref={input} type="file" hidden accept=".csv,.tsv,.txt,.ndjson,.jsonl,text/csv" onChange={(e) => { const [chosen] = e.currentTarget.files ?? []; e.currentTarget.value = ""; if (chosen) void take(chosen) }} />
      <Button title={text.columns} onClick={() => input.current!.click()} disabled={busy}>{text.choose}</Button>
    </>
  )
  return (
    <div class="drop" onDragOver={(e) => { if (e.dataTransfer?.types.includes("Files")) { e.preventDefault(); setOver(true) } }} onDragLeave={(e) => { if (!e.currentTarget.contains(e.relatedTarget as Node | null)) setOver(false) }} onDrop={drop}>
      {over && <div class="drop-here"><p>{text.drop}</p></div>}
      {children({ button, card: file && state && <ImportCard file={file} state={state} retry={() => void take(file)} close={() => setState(undefined)} /> })}
      {again && <Confirm title={text.againTitle} text={text.againText} action={text.again} onConfirm={again} onClose={() => setAgain(undefined)} />}
    </div>
  )
}

function ImportCard({ file, state, retry, close }: { file: File; state: State; retry(): void; close(): void }) {
  const text = t().tasks.import
  const download = async (failures: Failure[]) => {
    const url = URL.createObjectURL(await refusedTable(file, failures))
    const link = document.createElement("a")
    link.href = url
    link.download = file.name.replace(/\.\w+$/, "") + ".refused.csv"
    link.click()
    setTimeout(() => URL.revokeObjectURL(url), 60_000)
  }
  return (
    <section class="card import" aria-label={text.title(file.name)}>
      <h2><bdi>{text.title(file.name)}</bdi></h2>
      {state.step === "sending" && (
        <div class="line" role="status">
          <progress value={state.percent < 100 ? state.percent : undefined} max={100} aria-label={text.title(file.name)} />
          <span>{state.percent < 100 ? text.sending(state.percent) : text.working}</span>
        </div>
      )}
      {state.step === "failed" && <Trouble problem={state.problem} retry={retry} />}
      {state.step === "done" && (
        <>
          <p role="status">{text.created(state.result.summary.created)}{state.result.failures.length > 0 && <>, <strong>{text.failed(state.result.failures.length)}</strong></>}.</p>
          {state.result.failures.length > 0 && (
            <div class="scroll" tabIndex={0} role="region" aria-label={text.failed(state.result.failures.length)}>
              <table>
                <thead><tr><th>{text.line}</th><th>{text.reason}</th></tr></thead>
                <tbody lang="en">
                  {state.result.failures.slice(0, shownFailures).map((f) => <tr key={f.index}><td>{text.lines(f.line, f.last_line)}</td><td>{f.error}</td></tr>)}
                </tbody>
              </table>
            </div>
          )}
          {state.result.failures.length > shownFailures && <p class="muted">{text.moreFailed(state.result.failures.length - shownFailures)}</p>}
        </>
      )}
      {state.step !== "sending" && (
        <div class="actions">
          {state.step === "done" && state.result.failures.length > 0 && <Button onClick={() => void download(state.result.failures)}>{text.download}</Button>}
          <Button kind="quiet" onClick={close}>{t().close}</Button>
        </div>
      )}
    </section>
  )
}
