package notify

import (
	"time"

	"golang.org/x/text/language"
)

// Links are the URLs by which a reader acts on the task. An action without a link is "".
type Links struct {
	Done, Snooze, Acknowledge string
	// Any offers all actions. It is for messages that have room for one link.
	Any string
}

// Action is a link that is shown as a button.
type Action struct {
	ID   string // for programs: done or snooze
	Text string // in the message's language
	URL  string
}

// Actions returns the links that a message shows as buttons, in their order.
func (m Message) Actions() (actions []Action) {
	w := m.words().Links
	for _, a := range []Action{{"done", w.Done, m.Links.Done}, {"snooze", w.Snooze, m.Links.Snooze}} {
		if a.URL != "" {
			actions = append(actions, a)
		}
	}
	return actions
}

// linkWords are the texts of the links in a language.
type linkWords struct {
	Done   string `json:"done"`
	Snooze string `json:"snooze"`
}

// PageWords are the texts of the page that a link opens.
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

// SnoozedUntil returns the text for until when a task is snoozed, in a time zone.
func (w PageWords) SnoozedUntil(at time.Time, zone *time.Location) string {
	return Message{DueDate: &at, Zone: zone, Language: w.Lang}.when(w.SnoozedText)
}

// PageWordsIn returns the words of the page. languages is a BCP 47 tag, or several as in the header
// Accept-Language. If none has a file, it returns those of the nearest language, or English.
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
