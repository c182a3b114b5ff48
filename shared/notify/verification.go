package notify

import "strings"

// Verification is a message that asks the owner of an address to agree to messages. It has no text
// that a user wrote.
type Verification struct {
	Code  string // six digits
	Link  string // to agree
	NotMe string // to refuse all further requests
}

// verificationWords are the words of a verification in a language.
type verificationWords struct {
	Subject string `json:"subject"`
	Intro   string `json:"intro"`
	Link    string `json:"link"`
	Code    string `json:"code"` // with {code}
	Ignore  string `json:"ignore"`
	NotMe   string `json:"not_me"`
	SMS     string `json:"sms"`   // with {code} and {not_me}
	Title   string `json:"title"` // of the notification about the grace
	Body    string `json:"body"`  // with {date}
}

// VerificationTexts are the parts of a verification's message.
type VerificationTexts struct {
	Intro, Link, Code, Ignore, NotMe string
}

// VerificationTexts returns the parts of the message, in its language. Verification must be set.
func (m Message) VerificationTexts() VerificationTexts {
	w := m.words().Verification
	return VerificationTexts{
		Intro: w.Intro, Link: w.Link, Code: strings.ReplaceAll(w.Code, "{code}", m.Verification.Code), Ignore: w.Ignore, NotMe: w.NotMe,
	}
}

func (m Message) verificationText() string {
	t := m.VerificationTexts()
	return t.Intro + "\n\n" + t.Link + ": " + m.Verification.Link + "\n\n" + t.Code + "\n\n" + t.Ignore + "\n\n" + t.NotMe + ": " + m.Verification.NotMe
}

// VerificationSMS returns the text message of a verification. Verification must be set.
func (m Message) VerificationSMS() string {
	return strings.NewReplacer("{code}", m.Verification.Code, "{not_me}", m.Verification.NotMe).Replace(m.words().Verification.SMS)
}

// GraceNotice returns the in-app notification for a user whose addresses are in grace. They get
// messages until the message's DueDate.
func (m Message) GraceNotice() (title, body string) {
	w := m.words().Verification
	return w.Title, strings.ReplaceAll(w.Body, "{date}", m.when("{weekday}, {day} {month} {year} {time}"))
}
