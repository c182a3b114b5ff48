package notify

import (
	"time"

	"golang.org/x/text/language"
)

// Links are what the reader of a message follows to act on its task. Those that are "" are not there.
type Links struct {
	Done, Snooze, Acknowledge string
	// Any does all of them. It is for messages that have room for one.
	Any string
}

// Action is a link with a button.
type Action struct {
	ID   string // for programs: done or snooze
	Text string // in the message's language
	URL  string
}

// Actions are the links that a message shows as buttons, in their order.
func (m Message) Actions() (actions []Action) {
	w := m.words().Links
	for _, a := range []Action{{"done", w.Done, m.Links.Done}, {"snooze", w.Snooze, m.Links.Snooze}} {
		if a.URL != "" {
			actions = append(actions, a)
		}
	}
	return actions
}

// linkWords are what the links are called in a language.
type linkWords struct {
	Done   string `json:"done"`
	Snooze string `json:"snooze"`
}

// PageWords are what the page says that the links lead to.
type PageWords struct {
	Lang string `json:"-"` // the language, as a BCP 47 tag

	DoneButton        string `json:"done_button"`
	SnoozeText        string `json:"snooze_text"`
	In10Minutes       string `json:"in_10_minutes"`
	In1Hour           string `json:"in_1_hour"`
	Tomorrow          string `json:"tomorrow"` // at 9:00
	AcknowledgeButton string `json:"acknowledge_button"`

	Done         string `json:"done"`
	Snoozed      string `json:"snoozed"`
	SnoozedText  string `json:"snoozed_text"` // with {weekday}, {day}, {month}, {year} and {time}
	Acknowledged string `json:"acknowledged"`

	Already string `json:"already"`
	Skipped string `json:"skipped"`
	Changed string `json:"changed"`
	Early   string `json:"early"`
	Deleted string `json:"deleted"`

	NotValid     string `json:"not_valid"`
	NotValidText string `json:"not_valid_text"`
	TooOld       string `json:"too_old"`
	TooOldText   string `json:"too_old_text"`
	Failed       string `json:"failed"`
	FailedText   string `json:"failed_text"`
}

// SnoozedUntil says until when a task is snoozed, as clocks in a zone show it.
func (w PageWords) SnoozedUntil(at time.Time, zone *time.Location) string {
	return Message{DueDate: &at, Zone: zone, Language: w.Lang}.when(w.SnoozedText)
}

// PageWordsIn returns the words of the page in a language, a BCP 47 tag, or in the best of several, as
// the header Accept-Language has them; or in the nearest that there is, or in English.
func PageWordsIn(languages string) PageWords {
	wanted, _, err := language.ParseAcceptLanguage(languages)
	tag := english
	if err == nil && len(wanted) > 0 {
		tag = nearest(wanted...)
	}
	w := catalogue[tag].Page
	w.Lang = tag.String()
	return w
}
