// Package push writes the push message that a reminder becomes. How it is sent is
// each provider's own affair.
package push

import (
	"strings"
	"unicode"

	"github.com/duebell/duebell/shared/notify"
)

// maxBody keeps a message within the 4 KiB that Apple's and Google's services carry,
// with the longest title there is (500 characters of four bytes) and with our own ids.
const maxBody = 1600

// Title is the message's title: one line.
func Title(m notify.Message) string { return m.Headline() }

// Body is the message's text: when it is due, and the notes, cut if need be.
func Body(m notify.Message) string {
	text := strings.Map(func(c rune) rune {
		if unicode.IsControl(c) && c != '\n' {
			return -1
		}
		return c
	}, strings.TrimSpace(m.Due()+"\n"+m.Notes))
	return notify.Cut(text, func(s string) bool { return len(s) <= maxBody })
}
