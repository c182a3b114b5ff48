// Package text finds characters that users must not write, and names
// them: those that nobody sees, and those that make a text look like another one.
package text

import (
	"fmt"
	"strings"
	"unicode"
)

// Control returns the name of the first control or bidirectional override character
// of s that is not in allowed, such as "U+202E RIGHT-TO-LEFT OVERRIDE". It returns
// "" if there is none.
func Control(s, allowed string) string {
	return first(s, func(c rune) bool { return isControl(c) && !strings.ContainsRune(allowed, c) })
}

// Invisible returns the name of the first character of s that nobody sees: what Control
// finds, blanks, format characters and others that are drawn as nothing. It returns ""
// if there is none. It is for names that machines read, such as addresses. Texts for
// people may contain such characters for good reasons.
func Invisible(s string) string { return first(s, isInvisible) }

// Blank reports whether s has only characters that nobody sees.
func Blank(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return !isInvisible(c) })
}

// Clean returns s without the characters that Control finds.
func Clean(s, allowed string) string {
	return strings.Map(func(c rune) rune {
		if isControl(c) && !strings.ContainsRune(allowed, c) {
			return -1
		}
		return c
	}, s)
}

func first(s string, found func(rune) bool) string {
	if i := strings.IndexFunc(s, found); i >= 0 {
		for _, c := range s[i:] {
			return name(c)
		}
	}
	return ""
}

func isControl(c rune) bool {
	return unicode.IsControl(c) || c >= 0x202A && c <= 0x202E || c >= 0x2066 && c <= 0x2069
}

func isInvisible(c rune) bool {
	return isControl(c) || unicode.IsSpace(c) ||
		unicode.In(c, unicode.Z, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) ||
		c == 0x2800 // a braille pattern without dots
}

// name is how Unicode writes a character, with its name if it is a common one.
func name(c rune) string {
	known, ok := names[c]
	switch {
	case ok:
	case unicode.IsControl(c):
		known = "CONTROL CHARACTER"
	case unicode.Is(unicode.Z, c):
		known = "BLANK"
	default:
		known = "INVISIBLE CHARACTER"
	}
	return fmt.Sprintf("U+%04X %s", c, known)
}

var names = map[rune]string{
	0x0000: "NULL",
	0x0008: "BACKSPACE",
	0x0009: "CHARACTER TABULATION",
	0x000A: "LINE FEED",
	0x000D: "CARRIAGE RETURN",
	0x001B: "ESCAPE",
	0x0020: "SPACE",
	0x007F: "DELETE",
	0x0085: "NEXT LINE",
	0x00A0: "NO-BREAK SPACE",
	0x00AD: "SOFT HYPHEN",
	0x034F: "COMBINING GRAPHEME JOINER",
	0x061C: "ARABIC LETTER MARK",
	0x200B: "ZERO WIDTH SPACE",
	0x200C: "ZERO WIDTH NON-JOINER",
	0x200D: "ZERO WIDTH JOINER",
	0x200E: "LEFT-TO-RIGHT MARK",
	0x200F: "RIGHT-TO-LEFT MARK",
	0x2028: "LINE SEPARATOR",
	0x2029: "PARAGRAPH SEPARATOR",
	0x202A: "LEFT-TO-RIGHT EMBEDDING",
	0x202B: "RIGHT-TO-LEFT EMBEDDING",
	0x202C: "POP DIRECTIONAL FORMATTING",
	0x202D: "LEFT-TO-RIGHT OVERRIDE",
	0x202E: "RIGHT-TO-LEFT OVERRIDE",
	0x202F: "NARROW NO-BREAK SPACE",
	0x2060: "WORD JOINER",
	0x2066: "LEFT-TO-RIGHT ISOLATE",
	0x2067: "RIGHT-TO-LEFT ISOLATE",
	0x2068: "FIRST STRONG ISOLATE",
	0x2069: "POP DIRECTIONAL ISOLATE",
	0x3000: "IDEOGRAPHIC SPACE",
	0xFEFF: "ZERO WIDTH NO-BREAK SPACE",
}
