// Alle Texte der Konsole auf Deutsch.
import type { Texts } from "./en"

const plural = new Intl.PluralRules("de")
const count = (n: number, one: string, other: string) => `${n} ${plural.select(n) === "one" ? one : other}`

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
    more: "Nur die letzten 100 Zustellungen und Termine sind hier.",
    job: {
      with_dapr: "Dapr hält ihren Job:", later: "Sie steht in der Datenbank, bis Dapr sie als Job bekommt:",
      late: "Dapr hat ihren Job nicht bestätigt. Bleibt es dabei, erinnert der minütliche Durchgang:",
    },
    nextOccurrence: (when) => `Nächster Termin: ${when}`,
    occurrence: (when) => `Termin ${when}`,
    late: (time) => `${time} nach ihrem Zeitpunkt`,
    removed: "eine Erinnerung, die die Aufgabe nicht mehr hat",
    moment(e, kind, past, job) {
      switch (e.kind) {
        case "created": return "Aufgabe angelegt"
        case "changed": return e.state === "completed" ? "Aufgabe zuletzt geändert: Sie ist erledigt" : "Aufgabe zuletzt geändert"
        case "due": return past ? "War fällig" : "Fällig"
        case "scheduled": return job === undefined || job === "with_dapr" ? "Job an Dapr übergeben" : "Job für Dapr, von Dapr nicht bestätigt"
        case "upcoming":
          if (past) return "Sollte ausgelöst sein; sonst löst der Durchgang sie aus"
          return { due: "Erinnerung wird ausgelöst", snooze: "Später-noch-einmal endet", repeat: "Erinnerung wird wiederholt" }[kind]
        case "missed": return "Erinnerung verpasst: Ihr Zeitpunkt lag schon zu lange zurück, als sie bestellt wurde"
        case "fired": return { due: "Erinnerung ausgelöst", snooze: "Später noch einmal erinnert", repeat: "Erinnerung wiederholt" }[kind]
        case "occurrence":
          return { told: "An den Termin wurde erinnert", missed: "Termin verpasst: Auch ein späterer war schon vorbei, als erinnert werden konnte", completed: "Termin erledigt", skipped: "Termin übersprungen" }[e.state ?? ""] ?? e.text
        default: return e.text
      }
    },
    inInbox: "im Eingang",
    state: {
      planned: "wartet", held: "zurückgehalten", bundled: "im Bündel", sending: "wird gesendet", sent: "gesendet", failed: "abgelehnt", exhausted: "aufgegeben", cancelled: "entfallen",
      unknown: "unklar", unverified: "Adresse nicht bestätigt", suppressed: "Adresse möchte nichts mehr", refused: "über einer Grenze", bounced: "zurückgekommen",
    },
    reason: {
      quiet_hours: "Ruhezeit", hourly_limit: "der Grenze für Nachrichten in einer Stunde", bundled: "Sammeln für ein Bündel",
      replaced: "Eine neuere Erinnerung dieser Aufgabe geht an dieselbe Adresse", completed: "Die Aufgabe oder dieser Termin war vorher erledigt", skipped: "Dieser Termin wurde vorher übersprungen",
      deleted: "Die Aufgabe wurde vorher gelöscht", moved: "Termin oder Erinnerungen wurden vorher geändert", acknowledged: "Vorher als gesehen bestätigt", snoozed: "Vorher auf später verschoben",
      unrepeated: "Die Aufgabe wird nicht mehr wiederholt", discarded: "Vom Betrieb verworfen",
    },
    step(e, until) {
      const provider = e.provider || "dem Anbieter"
      const reason = e.reason ? (de.timeline.reason[e.reason] ?? e.reason) : ""
      const together = e.bundle_reminders && e.bundle_reminders > 1 ? `, ${e.bundle_reminders} Erinnerungen in einer Nachricht` : ""
      switch (e.kind) {
        case "sent": return e.channel === "in_app" ? "In den Eingang gelegt" : `Bei Versuch ${e.attempt} von ${provider} angenommen${together}`
        case "tried":
          if (e.state === "unknown") return `Versuch ${e.attempt}: Unklar, ob er von ${provider} angenommen wurde`
          if (e.until && !until) return `Versuch ${e.attempt}: von ${provider} nicht angenommen; der nächste Anbieter ist an der Reihe`
          return `Versuch ${e.attempt}: von ${provider} nicht angenommen${until && `; nächster Versuch ${until}`}`
        case "held":
          if (e.state === "held") return `Zurückgehalten wegen ${reason}${until && ` bis ${until}`}`
          if (e.reason === "bundled") return e.attempt ? `In einem Bündel, das gerade gesendet wird${together}` : `Wartet bis dahin auf andere Erinnerungen, um als eine Nachricht hinauszugehen${together && ` (bisher${together.slice(1)})`}`
          return `Bis dahin zurückgehalten wegen ${reason}${together}`
        case "replayed": return "Vom Betrieb wiederholt: Die Versuche beginnen von vorn"
        case "waiting":
          if (e.state === "sending") return `Wird gesendet: Versuch ${e.attempt} mit ${provider}. Ist bis dahin nichts bekannt, folgt ein neuer`
          if (e.state === "unknown") return `Vielleicht von ${provider} angenommen. Der nächste Versuch hat denselben Idempotenzschlüssel`
          return e.error ? "Nächster Versuch" : "Wartet aufs Senden"
        case "ended":
          switch (e.state) {
            case "failed": return e.attempt ? `Von ${provider} endgültig abgelehnt` : "Ließ sich nicht senden"
            case "exhausted": return `Nach Versuch ${e.attempt} aufgegeben: jetzt ein Dead Letter`
            case "suppressed": return "Nicht gesendet: Diese Adresse bekommt nichts mehr"
            case "unverified": return "Nicht gesendet: Die Person hinter der Adresse hat nicht zugestimmt"
            case "refused": return "Nicht gesendet: über einer Grenze, oder an diese Nummer gehen keine SMS"
            default: return `Entfallen: ${reason || "Die Aufgabe wurde vorher erledigt, geändert oder gelöscht, oder der Betrieb hat sie verworfen"}`
          }
        case "reported": return `Rückmeldung von ${provider}: ${{ delivered: "zugestellt", bounced: "zurückgekommen", complained: "als Spam gemeldet" }[e.state ?? ""] ?? e.state}`
        case "read": return "Gelesen"
        case "archived": return "Archiviert"
        case "acknowledged": return "Als gesehen bestätigt"
        default: return e.text
      }
    },
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
  },
  health: {
    title: "Zustand",
    well: "Alles in Ordnung.",
    unwell: (n) => `${count(n, "Sache braucht", "Sachen brauchen")} dich:`,
    manual: "Was zu tun ist",
    fine: "gut",
    look: "ansehen",
    waiting: "Wartet am längsten",
    nothing: "nichts wartet",
    waitsFor: { firing: "auf das Auslösen", hosts: "auf Webhooks und Web Push", providers: "auf Anbieter", events: "auf Ereignisse" },
    lateness: "Verspätung, letzte Stunde",
    lateHint: (n) => `Hälfte / 99 % von ${count(n, "Erinnerung", "Erinnerungen")}`,
    noneFired: "keine ausgelöst",
    sweep: "Letzter Durchgang",
    never: "nie",
    cleanup: (when) => `Aufräumen ${when}`,
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
    finding: {
      firing: (time) => `Erinnerungen warten auf das Auslösen, die älteste seit ${time}. Sieh nach, ob der Durchgang läuft, und nach Dapr und trigger-reminder.`,
      hosts: (time) => `Webhooks oder Web Push warten, der älteste seit ${time}. Sind es die Hosts weniger Leute, ist nichts zu tun; sind es viele, erreicht send das Internet nicht.`,
      providers: (time) => `Nachrichten warten auf ihre Anbieter, die älteste seit ${time}. Sieh nach, ob send da ist und was die Anbieter antworten.`,
      events: (time) => `Ereignisse warten auf das Veröffentlichen, das älteste seit ${time}. Sieh nach dem Broker.`,
      late: (time) => `Eine von hundert Erinnerungen kam in der letzten Stunde ${time} zu spät oder noch später. Kommen sie nur durch den Durchgang, liegt es an Dapr oder trigger-reminder.`,
      neverSwept: "Noch kein Durchgang ist zu Ende. Etwas muss retry-dlq jede Minute aufrufen.",
      notSwept: (when) => `Der letzte Durchgang endete ${when}; es soll jede Minute einen geben. Sieh nach, ob retry-dlq aufgerufen wird und startet.`,
      sweepFailed: (steps) => `Schritte des letzten Durchgangs sind gescheitert: ${steps}. Warum, steht in seinem Log.`,
      sweepCutShort: "Der letzte Durchgang wurde abgebrochen: Er hat zu viel zu tun. Lass mehr Durchgänge laufen oder erhöhe SWEEP_CONCURRENCY.",
      cleanupFailed: (steps) => `Schritte des letzten Aufräumens sind gescheitert: ${steps}. Niemand wird deshalb später erinnert; warum, steht in seinem Log.`,
      notCleaned: (when) => `Das letzte Aufräumen endete ${when}; es soll jede Nacht eines geben. Sieh nach, ob nightly-cleanup aufgerufen wird.`,
      daprLost: "Daprs Scheduler hat seine Daten verloren. Durchgänge planen alles neu; für die Erinnerungen ist nichts zu tun. Finde heraus, warum.",
      daprUnknown: "Dapr war nicht zu fragen. Erinnerungen kommen durch den Durchgang, bis zu 65 s zu spät. Sieh nach, ob daprd läuft.",
      daprRefuses: (n) => `Dapr hat ${count(n, "Erinnerung", "Erinnerungen")} nicht angenommen. Sie kommen durch den Durchgang, bis zu 65 s zu spät. Sieh nach, ob daprd den Scheduler erreicht.`,
      database: (time) => `Die Datenbank braucht ${time} für eine Antwort. Sieh nach ihrer Last und ihren Verbindungen.`,
      dead: (n) => `${count(n, "Dead Letter wartet", "Dead Letters warten")} unten auf dich: Behebe die Ursache, dann wiederhole oder verwirf.`,
      provider: (name, failed, all) => `${name} hat in der letzten Stunde ${failed} von ${all} abgelehnt. Der letzte Fehler steht unten; bei 401 und 403 stimmt der Schlüssel nicht.`,
    },
  },
  operators: {
    title: "Betrieb",
    forbidden: "Das ist für den Betrieb: Deiner Anmeldung fehlt die Berechtigung.",
    readAgain: "Neu lesen",
    deadLetters: "Dead Letters",
    deadLettersText: "Zustellungen, die nicht geklappt haben, und Rückrufe ohne Sinn.",
    state: { all: "Alle", retrying: "in Wiederholung", dead: "tot", resolved: "gelöst", discarded: "verworfen" },
    stateLabel: "Zustand",
    none: "Keine Dead Letters",
    allWell: "Alles ist angekommen oder wird noch versucht.",
    noneText: "Keiner ist so. Andere Filter zeigen vielleicht welche.",
    verification: "Bestätigung einer Adresse",
    bundle: "Bündel",
    malformed: "Ein Rückruf ohne Sinn",
    details: "Versuche und Einzelheiten",
    firstFailed: "Zuerst gescheitert",
    noTries: "Kein Versuch ist festgehalten.",
    taskOf: (user) => `Aufgabe von ${user}`,
    job: "Job",
    data: "Daten",
    replay: "Wiederholen",
    replayTitle: "Diese Zustellung wiederholen?",
    replayText: "Sie wird jetzt fällig und binnen einer Minute gesendet. Die Nachricht kommt an, so spät es auch ist.",
    replayed: "Sie ist jetzt fällig",
    force: "Trotzdem senden",
    forceTitle: "Trotzdem senden?",
    since: { label: "Zuerst gescheitert", any: "Jederzeit", hour: "In der letzten Stunde", day: "In den letzten 24 Stunden", week: "In den letzten 7 Tagen", between: "Zwischen …" },
    from: "Von",
    until: "Bis",
    replayMany: "Alle diese wiederholen",
    replayManyTitle: (n) => `${count(n, "Dead Letter", "Dead Letters")} wiederholen?`,
    replayManyText: "Sie werden von jetzt an fällig, 50 in jeder Sekunde. Die Nachrichten kommen an, so spät es auch ist. Ein Bündel ist eine Nachricht. Was niemand mehr will, bleibt weg.",
    replayManyMore: (n) => `Es sind mehr als ${n}: Das sind die ältesten. Wiederhole die anderen danach.`,
    manyReplayed: (n) => `${count(n, "Zustellung ist", "Zustellungen sind")} jetzt nacheinander fällig`,
    noneToReplay: "Davon lässt sich nichts wiederholen.",
    discard: "Verwerfen",
    discardTitle: "Diesen Dead Letter verwerfen?",
    discardText: "Er wird nicht wieder versucht, und seine Nachricht kommt nie an.",
    discarded: "Verworfen",
    analytics: "Ausgelöste Erinnerungen",
    analyticsText: "Nach Tagen, in UTC. Zustellungen nach Weg und danach, wie spät sie geplant wurden.",
    range: { label: "Tage", "7": "7", "30": "30", "90": "90" },
    noAnalytics: "In diesen Tagen wurde keine Erinnerung ausgelöst.",
    byChannel: "Zustellungen nach Weg",
    byLateness: "Zustellungen nach Verspätung",
    asTable: "Als Tabelle",
    chartLabel: (title, from, to) => `${title}, ${from} bis ${to}. Die Tabelle hat dieselben Zahlen.`,
    day: "Tag",
    reminders: "Erinnerungen",
    total: "Erinnerungen",
    onTime: "Binnen 1 s geplant",
    deliveries: "Zustellungen",
    lateness: {
      under_1s: "unter 1 s", under_10s: "unter 10 s", under_1m: "unter 1 min", under_10m: "unter 10 min", over_10m: "über 10 min", unknown: "unbekannt",
    },
    channel: "Weg",
    lookUp: "Jemanden nachschlagen",
    lookUpText: "Aufgaben, Einstellungen und was gesendet wurde, wie die Person es hat. Du kannst nichts ändern. Jeder Blick wird mit deiner ID festgehalten.",
    userId: "Benutzer-ID",
    show: "Zeigen",
    user: (id) => `Benutzer ${id}`,
    reading: "Du liest als Betrieb. Adressen sind verdeckt, nichts lässt sich ändern, und dieser Blick wird mit deiner ID festgehalten.",
    noPreferences: "Dieser Benutzer hat keine eigenen Einstellungen. Stimmt die ID?",
    preferences: "Einstellungen",
    field: { zone: "Zeitzone", language: "Sprache", channels: "Wege", emails: "E-Mail-Adressen", phones: "Telefonnummern", devices: "Geräte", webhook: "Webhook", quiet: "Ruhezeiten", bundle: "Bündel" },
    noneOf: "keine",
    noTasks: "Dieser Benutzer hat keine Aufgaben.",
    completed: "erledigt",
    sentLog: "Was gesendet wurde",
    noDeliveries: "Noch nichts wurde gesendet.",
    when: "Wann",
    target: "An",
    attemptsColumn: "Versuche",
    note: "Grund",
  },
}
