// What a user chooses. Every change is saved at once, as a whole, and only onto the version
// that is shown.
import { useEffect, useId, useRef, useState } from "preact/hooks"
import { answered, ok, type Address, type Channel, type Preferences, type PreferencesInput } from "../../api/client"
import { to } from "../../router"
import { choose, languages, t, type Texts } from "../../text"
import { theme, setTheme, type Theme } from "../../ui/theme"
import { asProblem, useShared } from "../../ui/context"
import { Button, Choice, Confirm, Field, Screen, Time } from "../../ui/parts"
import { channels } from "../tasks/form"
import { Agenda } from "./agenda"
import { Bundles } from "./bundles"
import { QuietHours } from "./quiet-hours"
import { TaskDefaults } from "./task-defaults"
import { TestMessage } from "./test-message"
import "./preferences.css"

/** Saves a change of the stored preferences after earlier changes are saved, and returns whether that worked. If the
 * API refuses the change, onWrong gets the error, to show it beside the field; without onWrong it is shown as a notice. */
export type Save = (change: (now: Preferences) => PreferencesInput, onWrong?: (text: string | undefined) => void) => Promise<boolean>

export function PreferencesScreen() {
  const { session, preferences: { value } } = useShared()
  const save = useSave()
  const text = t().preferences
  return (
    <Screen title={text.title} aside={<span class="muted">{text.autosave}</span>}>
      <Channels value={value} save={save} />
      <Addresses kind="emails" value={value} save={save} />
      <Addresses kind="phones" value={value} save={save} />
      <Devices value={value} save={save} />
      <Webhook value={value} save={save} />
      <QuietHours value={value} save={save} />
      <Bundles value={value} save={save} />
      <Agenda value={value} save={save} />
      <TaskDefaults value={value} save={save} />
      <Place value={value} save={save} />
      <section class="card narrow-only">
        <p>{t().signedInAs(session.name)}</p>
        <Button onClick={session.signOut}>{t().signOut}</Button>
      </section>
    </Screen>
  )
}

/** Saves one change after the other. Each is applied to the preferences that the change before it has left. */
function useSave(): Save {
  const { client, preferences, setPreferences, say } = useShared()
  const latest = useRef(preferences)
  const turn = useRef<Promise<unknown>>(Promise.resolve())
  useEffect(() => { latest.current = preferences }, [preferences])
  const take = ({ data: value, etag }: { data: Preferences; etag: string }) => {
    latest.current = { value, etag }
    setPreferences(value, etag)
  }
  return (change, onWrong) => {
    const saving = turn.current.then(async () => {
      const { value, etag } = latest.current
      try {
        take(await answered(client.PUT("/api/preferences", { params: { header: { "If-Match": etag } }, body: { ...value, ...change(value) } })))
        onWrong?.(undefined)
        say(t().saved)
        return true
      } catch (error) {
        const problem = asProblem(error)
        if (problem.status === 412) {
          const newest = await answered(client.GET("/api/preferences")).catch(() => null)
          if (newest) take(newest)
          say(t().preferences.conflict, "problem")
        } else if (onWrong) onWrong(t().problem(problem))
        else say(t().problem(problem), "problem")
        return false
      }
    })
    turn.current = saving
    return saving
  }
}

export interface Part {
  value: Preferences
  save: Save
}

/** Returns why nothing would be sent on a channel; undefined if something would. */
function missingOn(channel: Channel, value: Preferences, signInEmail?: string): keyof Texts["preferences"]["missing"] | undefined {
  switch (channel) {
    case "email":
    case "sms": {
      const addresses = channel === "sms" ? value.phones : value.emails
      if (addresses.length === 0) return channel === "email" && signInEmail ? undefined : channel
      return addresses.every((a) => a.state === "unverified") ? "unverified" : undefined
    }
    case "push": return value.devices.length === 0 ? channel : undefined
    case "webhook": return value.webhook ? undefined : channel
    default: return undefined
  }
}

function Channels({ value, save }: Part) {
  const { session } = useShared()
  const id = useId()
  const text = t().preferences
  const missing = (channel: Channel) => (value.channels[channel] ? missingOn(channel, value, session.email) : undefined)
  return (
    <section class="card">
      <h2>{text.channels}</h2>
      <p class="muted">{text.channelsText}</p>
      <ul class="switches">
        {channels.map((channel) => (
          <li key={channel}>
            <label>
              <input type="checkbox" role="switch" checked={value.channels[channel]} aria-describedby={missing(channel) && id + channel}
                onChange={(e) => {
                  const box = e.currentTarget
                  void save((now) => ({ channels: { ...now.channels, [channel]: box.checked } })).then((saved) => { if (!saved) box.checked = !box.checked })
                }} />
              <span><strong>{t().channels[channel]}</strong> <small>{text.hint[channel]}</small></span>
            </label>
            <TestMessage channel={channel} />
            <div class="missing" role="status">
              {missing(channel) && <p id={id + channel}>{text.missing[missing(channel)!]} {missing(channel) === "push" && <a href={to("/inbox")}>{t().notFound.back}</a>}</p>}
            </div>
          </li>
        ))}
      </ul>
    </section>
  )
}

function Addresses({ kind, value, save }: Part & { kind: "emails" | "phones" }) {
  const { session } = useShared()
  const [typed, setTyped] = useState("")
  const [wrong, setWrong] = useState<string>()
  const [removing, setRemoving] = useState<string>()
  const text = t().preferences
  const list = value[kind]
  const none = kind === "phones" ? text.noPhones : session.email ? text.signInEmail(session.email) : text.noEmails
  const add = async () => {
    if (await save((now) => ({ [kind]: [...now[kind], typed.trim()] }), setWrong)) setTyped("")
  }
  return (
    <section class="card">
      <h2>{text[kind]}</h2>
      {list.length === 0 && <p class="muted">{none}</p>}
      <ul class="addresses">
        {list.map((a) => <AddressRow key={a.address} address={a} kind={kind} onRemove={() => setRemoving(a.address)} />)}
      </ul>
      {list.length < 5 && (
        <form class="inline" onSubmit={(e) => { e.preventDefault(); void add() }}>
          <Field label={kind === "emails" ? text.newEmail : text.newPhone} error={wrong}>
            {(ids) => <input {...ids} name={kind} list={undefined} type={kind === "emails" ? "email" : "tel"} required autocomplete={kind === "emails" ? "email" : "tel"} value={typed} onInput={(e) => setTyped(e.currentTarget.value)} />}
          </Field>
          <Button type="submit">{t().add}</Button>
        </form>
      )}
      {removing !== undefined && (
        <Confirm title={text.removeTitle(removing)} text={text.removeText} action={t().remove}
          onConfirm={() => void save((now) => ({ [kind]: now[kind].filter((a) => a.address !== removing) }))} onClose={() => setRemoving(undefined)} />
      )}
    </section>
  )
}

function AddressRow({ address, kind, onRemove }: { address: Address; kind: "emails" | "phones"; onRemove(): void }) {
  const { client, preferences, setPreferences, say } = useShared()
  const [code, setCode] = useState("")
  const [wrong, setWrong] = useState<string>()
  const text = t().preferences
  const attempt = async (what: () => Promise<void>) => {
    setWrong(undefined)
    try {
      await what()
    } catch (error) {
      setWrong(t().problem(asProblem(error)))
    }
  }
  const verify = () => attempt(async () => {
    const verified = await ok(client.POST("/api/preferences/verify", { body: { address: address.address, code: code.trim() } }))
    const fresh = await answered(client.GET("/api/preferences"))
    setPreferences(fresh.data, fresh.etag)
    say(text.verified(verified.address))
  })
  const resend = () => attempt(async () => {
    const asked = await ok(client.POST("/api/preferences/verify/resend", { body: { address: address.address } }))
    if (asked.state === "verified") {
      setPreferences({ ...preferences.value, [kind]: preferences.value[kind].map((a) => (a.address === asked.address ? asked : a)) }, preferences.etag)
      say(text.verified(asked.address))
    } else say(text.resent(asked.address))
  })
  return (
    <li>
      <div class="address">
        <span class="address-text">{address.address}</span>
        <span class={`tag ${address.state}`}>{text.state[address.state]}</span>
        <Button kind="quiet" aria-label={`${t().remove}: ${address.address}`} onClick={onRemove}>{t().remove}</Button>
      </div>
      {address.state === "suppressed" && <p class="muted"><Suppressed since={address.suppressed_since} /></p>}
      {address.state === "unverified" && (
        <>
          <p class="muted">{text.verifyText}</p>
          <form class="inline" onSubmit={(e) => { e.preventDefault(); void verify() }}>
            <Field label={text.code} error={wrong}>
              {(ids) => <input {...ids} name="code" class="code" required inputMode="numeric" pattern="\s*[0-9]{6}\s*" maxLength={8} autocomplete="one-time-code" value={code} onInput={(e) => setCode(e.currentTarget.value)} />}
            </Field>
            <Button type="submit" kind="primary">{text.verify}</Button>
            <Button kind="quiet" onClick={() => void resend()}>{text.resend}</Button>
          </form>
        </>
      )}
    </li>
  )
}

function Suppressed({ since }: { since?: string }) {
  const text = t().preferences.suppressedText
  return <>{text(since?.slice(0, 10) ?? "–")} {since && <span class="visually-hidden"><Time at={since} /></span>}</>
}

function Devices({ value, save }: Part) {
  const [removing, setRemoving] = useState<Preferences["devices"][number]>()
  const text = t().preferences
  const names = { fcm: "Firebase", onesignal: "OneSignal", webpush: text.browser }
  return (
    <section class="card">
      <h2>{text.devices}</h2>
      {value.devices.length === 0 && <p class="muted">{text.noDevices}</p>}
      <ul class="addresses">
        {value.devices.map((d) => (
          <li key={d.id} class="address">
            <span class="address-text">{names[d.provider]} <small>{whereIs(d)}</small></span>
            <Button kind="quiet" aria-label={`${t().remove}: ${names[d.provider]}`} onClick={() => setRemoving(d)}>{t().remove}</Button>
          </li>
        ))}
      </ul>
      {removing && (
        <Confirm title={text.removeTitle(names[removing.provider])} text={text.removeText} action={t().remove}
          onConfirm={() => void save((now) => ({ devices: now.devices.filter((d) => d.id !== removing.id) }))} onClose={() => setRemoving(undefined)} />
      )}
    </section>
  )
}

/** What tells a device from others: its token, in short, or the push service of a browser. */
function whereIs({ token, subscription }: Preferences["devices"][number]): string {
  if (subscription) return new URL(subscription.endpoint).host
  return token && token.length > 24 ? token.slice(0, 12) + "…" + token.slice(-6) : (token ?? "")
}

function Webhook({ value, save }: Part) {
  const [url, setURL] = useState(value.webhook?.url ?? "")
  const [secret, setSecret] = useState("")
  const [wrong, setWrong] = useState<string>()
  const [removing, setRemoving] = useState(false)
  const text = t().preferences
  const submit = async () => {
    if (await save((now) => ({ webhook: { url, links: now.webhook?.links ?? false, ...(secret !== "" && { secret }) } }), setWrong)) setSecret("")
  }
  return (
    <section class="card">
      <h2>{text.webhook}</h2>
      <p class="muted">{text.webhookText}</p>
      <form class="stack" onSubmit={(e) => { e.preventDefault(); void submit() }}>
        <Field label={text.url} error={wrong?.includes("secret") ? undefined : wrong}>
          {(ids) => <input {...ids} name="url" type="url" required placeholder="https://…" value={url} onInput={(e) => setURL(e.currentTarget.value)} />}
        </Field>
        <Field label={text.secret} hint={text.secretHint} error={wrong?.includes("secret") ? wrong : undefined}>
          {(ids) => <input {...ids} name="secret" type="password" autocomplete="off" value={secret} onInput={(e) => setSecret(e.currentTarget.value)} />}
        </Field>
        <div class="actions">
          <Button type="submit">{t().save}</Button>
          {value.webhook && <Button kind="quiet" onClick={() => setRemoving(true)}>{t().remove}</Button>}
        </div>
      </form>
      {removing && (
        <Confirm title={text.removeTitle(text.webhook)} text={text.removeText} action={t().remove}
          onConfirm={() => void save(() => ({ webhook: null })).then((saved) => { if (saved) setURL("") })} onClose={() => setRemoving(false)} />
      )}
    </section>
  )
}

function Place({ value, save }: Part) {
  const [zone, setZone] = useState(value.time_zone ?? "")
  const [wrong, setWrong] = useState<string>()
  const [look, setLook] = useState<Theme>(theme())
  const text = t().preferences
  const spoken = Object.fromEntries(Object.entries(languages).map(([tag, texts]) => [tag, texts.name]))
  const setLanguage = (language: string) => {
    choose(language)
    void save(() => ({ language }))
  }
  return (
    <section class="card">
      <h2>{text.place}</h2>
      <form class="inline" onSubmit={(e) => { e.preventDefault(); void save(() => ({ time_zone: zone.trim() }), setWrong) }}>
        <Field label={text.zone} hint={text.zoneText} error={wrong}>
          {(ids) => <input {...ids} name="zone" list="zones" required value={zone} onInput={(e) => setZone(e.currentTarget.value)} />}
        </Field>
        <datalist id="zones">{Intl.supportedValuesOf("timeZone").map((name) => <option key={name} value={name} />)}</datalist>
        <Button type="submit" disabled={zone.trim() === (value.time_zone ?? "")}>{t().save}</Button>
      </form>
      <div class="bar">
        <Choice label={text.messages} value={document.documentElement.lang} options={spoken} onChange={setLanguage} />
        <Choice label={t().theme.label} value={look} options={{ auto: t().theme.auto, light: t().theme.light, dark: t().theme.dark }}
          onChange={(chosen) => { setTheme(chosen); setLook(chosen) }} />
      </div>
    </section>
  )
}
