// Package sms writes the text message that a reminder becomes: no longer than what
// one message carries, so that it arrives whole, at once, and costs one message. How
// it is sent is each provider's own affair.
package sms

import (
	"strings"
	"unicode/utf16"

	"github.com/duebell/duebell/shared/notify"
)

// What one message carries (3GPP TS 23.038 and 23.040): 160 septets of the default
// alphabet, in which the characters of its extension take two, or else 70 units of
// UCS-2, which phones take for UTF-16.
const (
	maxSeptets = 160
	maxUnits   = 70

	alphabet = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?" +
		"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	extension = "\f^{}\\[~]|€"
)

// Text is the message's text: its title, cut if need be, and when it is due; and the link, if nothing
// has to be cut for it. Of several reminders it is how many they are, and their titles. A verification's is
// whole, however long the link in it is: cut, it would be of no use.
func Text(m notify.Message) string {
	if m.Verification != nil {
		return m.VerificationSMS()
	}
	if m.Bundle != nil {
		return notify.Cut(m.BundleLine(), Fits)
	}
	due := ""
	if m.DueDate != nil {
		due = "\n" + m.Due()
	}
	if link := "\n" + m.Links.Any; m.Links.Any != "" && Fits(m.Headline()+due+link) {
		return m.Headline() + due + link
	}
	fits := func(title string) bool { return Fits(title + due) }
	return notify.Cut(m.Headline(), fits) + due
}

// Fits reports whether one message carries a text.
func Fits(text string) bool {
	septets := 0
	for _, c := range text {
		switch {
		case strings.ContainsRune(alphabet, c):
			septets++
		case strings.ContainsRune(extension, c):
			septets += 2
		default:
			return len(utf16.Encode([]rune(text))) <= maxUnits
		}
	}
	return septets <= maxSeptets
}
