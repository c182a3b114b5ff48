// Alle Texte der Konsole auf Deutsch.
import type { TimelineEvent } from "../api/client"
import type { Texts } from "./en"

const plural = new Intl.PluralRules("de")
const count = (n: number, one: string, other: string) => `${n} ${plural.select(n) === "one" ? one : other}`

/** Ein Ereignis als Satz. Was ein Anbieter geantwortet hat, bleibt in seiner Sprache. */
function event(e: TimelineEvent): string {
  const why = e.error ? `: ${e.error}` : ""
  const provider = e.provider ? ` (${e.provider})` : ""
  const which = e.before ? ` (${de.tasks.before[e.before] ?? de.tasks.beforeOther(e.before)})` : ""
  const to = e.target && e.channel !== "push" ? ` an ${e.target}` : ""
  switch (e.kind) {
    case "created": return "Die Aufgabe wurde angelegt."
    case "changed": return "Die Aufgabe wurde zuletzt geändert."
    case "due": return "Die Aufgabe ist fällig."
    case "scheduled": return `Die Erinnerung${which} wurde Dapr als Job übergeben.`
    case "upcoming": return `Die Erinnerung${which} wird ausgelöst.`
    case "missed": return `Die Erinnerung${which} ist verpasst: Ihr Zeitpunkt lag schon zu lange zurück.`
    case "fired": return `Die Erinnerung${which} wurde ausgelöst.`
    case "occurrence": {
      const states: Record<string, string> = { told: "wurde erinnert", missed: "wurde verpasst", completed: "wurde erledigt", skipped: "wurde übersprungen" }
      return `Der Termin ${e.occurrence} ${states[e.state ?? ""] ?? e.state}.`
    }
    case "sent": return e.channel === "in_app" ? "Steht im Eingang." : `Versuch ${e.attempt}${to} angenommen${provider}.`
    case "tried": return `Versuch ${e.attempt}${to} ohne Erfolg${provider}${why}.`
    case "held": return `Zurückgehalten${to}${why}.`
    case "replayed": return `Vom Betrieb neu gestartet${to}.`
    case "waiting": return `Wartet auf den nächsten Versuch${to}${why}.`
    case "ended": {
      const states: Record<string, string> = { failed: "Endgültig abgelehnt", exhausted: "Aufgegeben", cancelled: "Entfallen" }
      return `${states[e.state ?? ""] ?? "Nicht gesendet"}${to}${why}.`
    }
    case "reported": return `Rückmeldung${provider}: ${({ delivered: "zugestellt", bounced: "zurückgekommen", complained: "als Spam gemeldet" } as Record<string, string>)[e.state ?? ""] ?? e.state}.`
    case "read": return "Gelesen."
    case "archived": return "Archiviert."
    case "acknowledged": return "Als gesehen bestätigt."
  }
}

export const de: Texts = {
  name: "Deutsch",
  nav: { label: "Ansichten", inbox: "Eingang", tasks: "Aufgaben", preferences: "Einstellungen", operators: "Betrieb" },
  skip: "Zum Inhalt",
  theme: { label: "Farben", auto: "Wie das System", light: "Hell", dark: "Dunkel" },
  language: "Sprache",
  signOut: "Abmelden",
  signedInAs: (name) => `Angemeldet als ${name}`,
  welcome: {
    title: "Erinnert im richtigen Augenblick.",
    text: "Gib einer Aufgabe einen Termin, und Duebell erinnert dich genau dann: hier und auf den Wegen, die du wählst.",
    signIn: "Anmelden",
    failed: "Die Anmeldung ist gescheitert:",
    loading: "Anmeldung läuft …",
    away: "Die Konsole erreicht die Anmeldung nicht.",
  },
  notFound: { title: "Hier ist nichts", text: "Unter dieser Adresse gibt es keine Ansicht.", back: "Zum Eingang" },
  problem: (p) => (p.status === 0 ? "Duebell ist nicht erreichbar. Prüfe deine Verbindung und versuche es noch einmal." : p.message),
  retry: "Noch einmal",
  loading: "Lädt …",
  more: "Mehr zeigen",
  save: "Speichern",
  saved: "Gespeichert",
  cancel: "Abbrechen",
  close: "Schließen",
  remove: "Entfernen",
  add: "Hinzufügen",
  channels: {
    in_app: "Eingang", email: "E-Mail", push: "Push", sms: "SMS", webhook: "Webhook", event: "Ereignis",
  },
  inbox: {
    title: "Eingang",
    unread: (n) => `${n} ungelesen`,
    all: "Alle",
    onlyUnread: "Ungelesen",
    empty: "Noch nichts da",
    emptyText: "Wenn eine Aufgabe fällig ist, erscheint ihre Erinnerung in diesem Augenblick hier, ohne neu zu laden.",
    noneUnread: "Alles gelesen",
    noneUnreadText: "Nichts wartet auf dich.",
    newTask: "Aufgabe hinzufügen",
    markRead: "Als gelesen markieren",
    isUnread: "ungelesen",
    openTask: "Aufgabe öffnen",
    arrived: (title) => `Neu: ${title}`,
    push: {
      switchOn: "In diesem Browser benachrichtigen",
      switchOff: "Hier ausschalten",
      on: "Dieser Browser benachrichtigt dich, auch wenn keine Seite offen ist.",
      blocked: "Dieser Browser blockiert Benachrichtigungen dieser Seite. Erlaube sie in seinen Einstellungen.",
    },
    live: { connecting: "Verbindet …", open: "Live", waiting: "Verbindet neu …", offline: "Offline" },
    liveText: {
      connecting: "", open: "Neue Erinnerungen erscheinen von selbst.",
      waiting: "Die Verbindung ist weg. Was inzwischen kommt, erscheint, sobald sie wieder da ist.",
      offline: "Du bist offline. Was inzwischen kommt, erscheint, sobald du wieder da bist.",
    },
    markUnread: "Als ungelesen markieren",
    readAll: "Alle gelesen",
    archived: "Archiviert",
    noneArchived: "Nichts archiviert",
    noneArchivedText: "Was du aus dem Eingang nimmst, bleibt hier.",
    act: { done: "Erledigt", snooze: "Später erinnern", acknowledge: "Als gesehen bestätigen", archive: "Archivieren", back: "Zurück in den Eingang" },
    kind: { snooze: "War verschoben", repeat: "Wiederholung" },
    done: "Erledigt",
    doneUntil: (next) => `Erledigt. Das nächste Mal: ${next}`,
    acknowledged: "Als gesehen bestätigt",
    archivedNow: "Archiviert",
    backNow: "Wieder im Eingang",
    undo: "Rückgängig",
    undone: "Rückgängig gemacht",
    snoozedUntil: (at) => `Verschoben: ${at}`,
    snooze: {
      title: "Später erinnern",
      preset: { soon: "In 10 Minuten", hour: "In einer Stunde", evening: "Heute Abend", tomorrow: "Morgen früh", week: "Nächste Woche" },
      at: "Andere Zeit",
      action: "Verschieben",
      notLater: "Wähle eine Zeit, die noch kommt.",
    },
    keys: {
      title: "Tastenkürzel",
      on: "Diese Tasten benutzen",
      list: [
        ["j k", "Nächste Benachrichtigung, vorige"], ["Enter", "Ihre Aufgabe öffnen"], ["d", "Erledigt: Aufgabe abschließen"], ["s", "Später erinnern"], ["a", "Als gesehen bestätigen"],
        ["e", "Archivieren"], ["r", "Als gelesen oder ungelesen markieren"], ["z", "Rückgängig"], ["?", "Diese Tasten zeigen"],
      ],
    },
    install: "Auf iPhone und iPad: Wähle Teilen, dann Zum Home-Bildschirm, und öffne Duebell von dort, um benachrichtigt zu werden.",
    first: { try: "Ausprobieren: „Strecken“ in einer Minute", task: "Strecken", next: "Als Nächstes:" },
  },
  tasks: {
    title: "Aufgaben",
    new: "Neue Aufgabe",
    filters: "Filter",
    state: { label: "Zustand", open: "Offen", completed: "Erledigt", all: "Alle" },
    due: { label: "Fällig", any: "Jederzeit", overdue: "Überfällig", today: "Heute", week: "Nächste 7 Tage" },
    search: "Suchen",
    order: { label: "Reihenfolge", newest: "Neueste zuerst", oldest: "Älteste zuerst", due: "Früheste Termine zuerst", dueLast: "Späteste Termine zuerst" },
    empty: "Keine Aufgaben",
    emptyText: "Füge oben eine hinzu: Du wirst an ihrem Termin erinnert.",
    emptyFiltered: "Keine Aufgabe passt zu diesen Filtern.",
    noDue: "ohne Termin",
    overdue: "überfällig",
    complete: (title) => `„${title}“ erledigen`,
    reopen: (title) => `„${title}“ wieder öffnen`,
    reminders: (n) => count(n, "Erinnerung", "Erinnerungen"),
    created: "Aufgabe hinzugefügt",
    field: {
      title: "Titel", titleHint: "Woran möchtest du erinnert werden?", notes: "Notizen", due: "Fällig", zone: (zone) => `Zeiten gelten für ${zone}.`,
      reminders: "Erinnern", channels: "Wege", byPreferences: "Wie in meinen Einstellungen", chosen: "Nur auf diesen", more: "Mehr",
      addReminder: "Weitere Erinnerung", completed: "Erledigt",
    },
    conflict: "Diese Aufgabe wurde anderswo geändert. Jetzt siehst du die neueste.",
    preset: { soon: "In 10 Minuten", hour: "In einer Stunde", tomorrow: "Morgen, 9:00" },
    before: {
      "0s": "zum Termin", "5m": "5 Minuten vorher", "10m": "10 Minuten vorher", "30m": "30 Minuten vorher",
      "1h": "1 Stunde vorher", "2h": "2 Stunden vorher", "24h": "24 Stunden vorher", "168h": "7 Tage vorher",
    },
    beforeOther: (offset) => `${offset} vorher`,
    noReminders: "Niemand wird erinnert: Es gibt keine Erinnerung.",
    needsDue: "Ohne Termin wird niemand erinnert.",
  },
  task: {
    back: "Alle Aufgaben",
    delete: "Löschen",
    deleteTitle: "Diese Aufgabe löschen?",
    deleteText: "Ihre Erinnerungen entfallen. Das lässt sich nicht rückgängig machen.",
    deleted: "Aufgabe gelöscht",
    gone: "Diese Aufgabe gibt es nicht, oder sie wurde gelöscht.",
    conflict: "Diese Aufgabe wurde anderswo geändert, seit du sie geöffnet hast. Von dir ist nichts gespeichert.",
    takeTheirs: "Neueste zeigen",
    keepMine: "Meine trotzdem speichern",
    reminders: "Erinnerungen",
    kind: { snooze: "Später noch einmal", repeat: "Wiederholung" },
    state: { pending: "wartet auf den Zeitplan", scheduled: "geplant", fired: "erinnert", cancelled: "entfallen", missed: "verpasst: zu alt" },
    attempts: (n) => count(n, "Versuch", "Versuche"),
    changedBefore: "Zuletzt geändert:",
  },
  timeline: {
    title: "Verlauf",
    now: "Jetzt",
    nothingAhead: "Nichts steht bevor.",
    next: "Nächster Versuch:",
    more: "Nur die letzten 100 Zustellungen und Termine sind hier.",
    job: {
      with_dapr: "Dapr hält ihren Job:", later: "Sie steht in der Datenbank, bis Dapr sie als Job bekommt:",
      late: "Dapr hat ihren Job nicht bestätigt. Bleibt es dabei, erinnert der minütliche Durchgang:",
    },
    event,
  },
  preferences: {
    title: "Einstellungen",
    autosave: "Änderungen werden sofort gespeichert.",
    conflict: "Deine Einstellungen wurden anderswo geändert. Jetzt siehst du die neuesten; mache deine Änderung noch einmal.",
    channels: "Wege",
    channelsText: "Wohin Erinnerungen gehen, wenn eine Aufgabe nichts anderes sagt.",
    hint: {
      in_app: "Auf dieser Seite und in jeder App, die deine Benachrichtigungen zeigt.", email: "An deine E-Mail-Adressen.",
      push: "An deine Geräte.", sms: "An deine Telefonnummern.", webhook: "An ein Programm von dir.",
    },
    test: {
      send: "Probe senden",
      sending: "Sendet …",
      state: {
        planned: "unterwegs", sending: "unterwegs", sent: "gesendet", failed: "nicht gesendet", exhausted: "nicht gesendet", cancelled: "nicht gesendet",
        unknown: "noch keine Antwort", unverified: "Adresse nicht bestätigt", suppressed: "Adresse möchte nichts mehr", refused: "über einer Grenze",
      },
    },
    emails: "E-Mail-Adressen",
    phones: "Telefonnummern",
    signInEmail: (address) => `Keine: E-Mails gehen an ${address}, die Adresse deiner Anmeldung.`,
    noEmails: "Keine. Deine Anmeldung hat keine bestätigte Adresse, also werden keine E-Mails gesendet.",
    noPhones: "Keine.",
    newEmail: "Neue E-Mail-Adresse",
    newPhone: "Neue Telefonnummer, mit Land: +49 …",
    state: { verified: "bestätigt", unverified: "nicht bestätigt", suppressed: "möchte nichts mehr" },
    verifyText: "Eine Nachricht mit Link und Code ist dorthin unterwegs. Erinnerungen gehen dorthin, sobald eines davon benutzt wurde.",
    suppressedText: (since) => `Dorthin wird seit ${since} nichts gesendet: Die Person dort hat Stopp gesagt, oder Nachrichten kamen zurück. Nur sie selbst kann das ändern.`,
    code: "Code, sechs Ziffern",
    verify: "Bestätigen",
    verified: (address) => `${address} ist bestätigt`,
    resend: "Neuen Code senden",
    resent: (address) => `Eine weitere Nachricht ist unterwegs an ${address}`,
    webhook: "Webhook",
    webhookText: "Erinnerungen werden an diese Adresse gesendet, signiert nach Standard Webhooks.",
    url: "Adresse",
    secret: "Geheimnis",
    secretHint: "whsec_ und das Base64 von 24 bis 64 Bytes. Es wird nie wieder gezeigt. Bleibt das Feld leer, bleibt das bisherige.",
    devices: "Geräte",
    noDevices: "Keine. Apps fügen die Geräte hinzu, auf denen sie laufen, und Browser kommen im Eingang dazu.",
    browser: "Browser",
    place: "Zeit und Sprache",
    zone: "Zeitzone",
    zoneText: "Zeiten werden in ihr gezeigt, hier und in Nachrichten.",
    zoneDiffers: (mine, theirs) => `Dieses Gerät ist in ${theirs}; deine Erinnerungen zeigen Zeiten in ${mine}.`,
    takeZone: (zone) => `${zone} verwenden`,
    keepZone: "So lassen",
    messages: "Sprache dieser Seite und der Nachrichten",
    removeTitle: (what) => `${what} entfernen?`,
    removeText: "Dorthin wird nichts mehr gesendet.",
    quiet: {
      title: "Ruhezeiten",
      text: "In ihnen wird nur gesendet, was dringend ist. Das Übrige kommt, wenn sie enden. Der Eingang auf dieser Seite ruht nie.",
      none: "Keine: Nachrichten kommen zu jeder Tageszeit.",
      add: "Ruhezeit hinzufügen",
      addAnother: "Weitere hinzufügen",
      window: (n, from, to) => `Ruhezeit ${n}: von ${from} bis ${to}`,
      from: "Von",
      to: "Bis",
      days: "Beginnt am",
      nextDay: (at) => `Sie endet am nächsten Tag um ${at}.`,
      noLength: "Eine Ruhezeit kann nicht enden, wenn sie beginnt.",
    },
    bundle: {
      title: "Weniger Nachrichten",
      text: "Was innerhalb dieser Zeit nach der ersten Erinnerung fällig wird, kommt als eine Nachricht. Dringendes kommt sofort.",
      length: { "": "Einzeln", "1m": "1 Minute", "5m": "5 Minuten", "15m": "15 Minuten", "30m": "30 Minuten", "1h": "1 Stunde", "3h": "3 Stunden" },
    },
    tasks: {
      title: "Aufgaben",
      remindersText: "Für Aufgaben, die selbst keine Erinnerungen nennen, wie importierte.",
      allDay: "Ganztägige Aufgaben sind fällig um",
      allDayText: "An dem Tag, wo du bist.",
    },
    agenda: {
      title: "Tagesplan",
      text: "Eine Nachricht am Tag, die sagt, was überfällig und was fällig ist. An Tagen ohne beides kommt keine.",
      on: "Tagesplan senden",
      channel: "Weg",
      at: "Um",
      days: "Am",
    },
  },
  health: {
    title: "Wie es läuft",
    fine: "gut",
    look: "ansehen",
    waiting: "Wartet am längsten",
    nothing: "nichts wartet",
    waitsFor: { firing: "auf das Auslösen", hosts: "auf Webhooks", providers: "auf Anbieter", events: "auf Ereignisse" },
    lateness: "Verspätung der letzten Stunde, Hälfte / 99 %",
    ofReminders: (n) => count(n, "Erinnerung", "Erinnerungen"),
    sweep: "Letzter Durchgang",
    never: "nie",
    dapr: { present: "hat seine Jobs", made: "hat seine Jobs", lost: "hat seine Jobs verloren", unknown: "war nicht zu fragen" },
    pending: (n) => `${count(n, "Erinnerung", "Erinnerungen")} nicht angenommen`,
    database: "Datenbank",
    answers: (time) => `antwortet in ${time}`,
    deadLetters: "Dead Letters",
    retrying: (n) => `${n} in Wiederholung`,
    providers: "Anbieter in der letzten Stunde",
    provider: "Anbieter",
    sent: "Gesendet",
    failed: "Gescheitert",
    latestError: "Letzter Fehler",
    notSetUp: "nicht mehr eingerichtet",
    versions: (duebell, schema, zones, database) => `Duebell ${duebell}, Schema ${schema}, Zeitzonen ${zones}, Postgres ${database}`,
  },
  operators: {
    title: "Betrieb",
    forbidden: "Das ist für den Betrieb: Deiner Anmeldung fehlt die Berechtigung.",
    deadLetters: "Dead Letters",
    deadLettersText: "Zustellungen, die nicht geklappt haben, und Rückrufe ohne Sinn.",
    state: { all: "Alle", retrying: "in Wiederholung", dead: "tot", resolved: "gelöst", discarded: "verworfen" },
    stateLabel: "Zustand",
    none: "Keine Dead Letters",
    noneText: "Alles ist angekommen oder wird noch versucht.",
    attempts: "Versuche",
    changed: "Geändert",
    error: "Fehler",
    details: "Einzelheiten",
    job: "Job",
    data: "Daten",
    replay: "Wiederholen",
    replayTitle: "Diese Zustellung wiederholen?",
    replayText: "Sie wird jetzt fällig und binnen einer Minute gesendet. Die Nachricht kommt an, so spät es auch ist.",
    replayed: "Sie ist jetzt fällig",
    since: { label: "Seit", any: "Jederzeit", hour: "In der letzten Stunde", day: "In den letzten 24 Stunden" },
    replayMany: "Alle diese wiederholen",
    replayManyTitle: (n) => `${count(n, "Zustellung", "Zustellungen")} wiederholen?`,
    replayManyText: "Sie werden von jetzt an fällig, 50 in jeder Sekunde. Die Nachrichten kommen an, so spät es auch ist. Was niemand mehr will, bleibt weg.",
    manyReplayed: (n) => `${count(n, "Zustellung ist", "Zustellungen sind")} jetzt nacheinander fällig`,
    noneToReplay: "Davon lässt sich nichts wiederholen.",
    discard: "Verwerfen",
    discardTitle: "Diesen Dead Letter verwerfen?",
    discardText: "Er wird nicht wieder versucht, und seine Nachricht kommt nie an.",
    discarded: "Verworfen",
    analytics: "Ausgelöste Erinnerungen",
    analyticsText: "Nach Tagen, die letzten 30. Zustellungen nach Weg und danach, wie spät sie geplant wurden.",
    noAnalytics: "In den letzten 30 Tagen wurde keine Erinnerung ausgelöst.",
    day: "Tag",
    reminders: "Erinnerungen",
    total: "Erinnerungen",
    onTime: "Binnen 1 s geplant",
    deliveries: "Zustellungen",
    lateness: {
      under_1s: "unter 1 s", under_10s: "unter 10 s", under_1m: "unter 1 min", under_10m: "unter 10 min", over_10m: "über 10 min", unknown: "unbekannt",
    },
    channel: "Weg",
  },
}
