// Package sms writes text messages. A text fits one message, so that it arrives whole and costs one
// message. The packages of providers send them.
package sms

import (
	"strings"
	"unicode/utf16"

	"github.com/duebell/duebell/shared/notify"
)

// One message carries 160 septets of the default alphabet, of which characters of its extension
// take two, or 70 units of UCS-2, which phones read as UTF-16 (3GPP TS 23.038 and 23.040).
const (
	maxSeptets = 160
	maxUnits   = 70

	alphabet = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?" +
		"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	extension = "\f^{}\\[~]|€"
)

// Text returns the message's text: the title, cut if need be, when it is due, and the link if that
// fits without cutting. For a bundle it is the number of reminders and their titles. A verification
// is never cut: without its link it would be useless.
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

// Fits reports whether a text fits one message.
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
