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

// Data is what the message tells the app: the task, unless it is about several.
func Data(m notify.Message) map[string]string {
	if m.Bundle != nil {
		return map[string]string{}
	}
	return map[string]string{"task_id": m.TaskID.String()}
}

// Body is the message's text: when it is due, and the notes, cut if need be. Of several reminders it is
// a line for each.
func Body(m notify.Message) string {
	if m.Bundle != nil {
		var lines []string
		for _, one := range m.BundleListed() {
			line := one.Headline()
			if one.DueDate != nil {
				line += ": " + one.Due()
			}
			lines = append(lines, line)
		}
		return cut(strings.Join(lines, "\n"))
	}
	return cut(text.Clean(strings.TrimSpace(m.Due()+"\n"+m.Notes), "\n"))
}

func cut(body string) string {
	return notify.Cut(body, func(s string) bool { return len(s) <= maxBody })
}
