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

// Title is the message's title: one line.
func Title(m notify.Message) string { return m.Headline() }

// Body is the message's text: when it is due, and the notes, cut if need be.
func Body(m notify.Message) string {
	body := text.Clean(strings.TrimSpace(m.Due()+"\n"+m.Notes), "\n")
	return notify.Cut(body, func(s string) bool { return len(s) <= maxBody })
}
