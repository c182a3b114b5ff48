// Package push writes the push message that a reminder becomes. How it is sent is
// each provider's own affair.
package push

import (
	"strings"

	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/text"
)

// maxBody keeps a message within the 4 KiB that Apple's and Google's services carry,
// with the longest title there is (500 characters of four bytes) and with our own ids.
const maxBody = 1600

// Title is the message's title: one line. Of several reminders it is how many they are.
func Title(m notify.Message) string {
	if m.Bundle != nil {
		return m.BundleCount()
	}
	return m.Headline()
}

// aroundActions is room for the names of the links and of their buttons.
const aroundActions = 160

// Body is the message's text: when it is due, and the notes, cut if need be. It leaves room for the
// message's actions. Of several reminders it is a line for each.
func Body(m notify.Message) string {
	most := maxBody
	for i, a := range m.Actions() {
		if i == 0 {
			most -= aroundActions
		}
		most -= len(a.URL)
	}
	body := text.Clean(strings.TrimSpace(m.Due()+"\n"+m.Notes), "\n")
	if m.Bundle != nil {
		body = lines(m)
	}
	return notify.Cut(body, func(s string) bool { return len(s) <= most })
}

func lines(m notify.Message) string {
	var lines []string
	for _, one := range m.BundleListed() {
		line := one.Headline()
		if one.DueDate != nil {
			line += ": " + one.Due()
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// Data is what an app gets beside the text: which task it is about, unless it is about several, and where
// to post what a button does, as done_url and snooze_url.
func Data(m notify.Message) map[string]string {
	data := map[string]string{}
	if m.Bundle == nil {
		data["task_id"] = m.Task()
	}
	for _, a := range m.Actions() {
		data[a.ID+"_url"] = a.URL
	}
	return data
}
