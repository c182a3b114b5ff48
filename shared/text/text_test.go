package text_test

import (
	"strings"
	"testing"

	"github.com/duebell/duebell/shared/text"
)

func TestControl(t *testing.T) {
	for s, want := range map[string]string{
		"Pay rent": "", "Ünïcödé 日本 👨‍👩‍👧‍👦 🏴󠁧󠁢󠁥󠁮󠁧󠁿": "", "\u05e9\u200f!": "", "a\u200bb": "", // of use to people who write so
		"a\x00": "U+0000 NULL", "a\x07": "U+0007 CONTROL CHARACTER", "a\nb": "U+000A LINE FEED", "a\tb": "U+0009 CHARACTER TABULATION",
		"a\x7f": "U+007F DELETE", "a\u0085": "U+0085 NEXT LINE", "\u009fa": "U+009F CONTROL CHARACTER",
		"invoice\u202efdp.exe": "U+202E RIGHT-TO-LEFT OVERRIDE", "a\u2069\u202e": "U+2069 POP DIRECTIONAL ISOLATE",
	} {
		if got := text.Control(s, ""); got != want {
			t.Errorf("%q has %q, want %q", s, got, want)
		}
		if got := text.Control(text.Clean(s, ""), ""); got != "" {
			t.Errorf("%q has %q when it is clean", s, got)
		}
	}
	if got := text.Control("a\tb\nc", "\t\n"); got != "" {
		t.Errorf("allowed, and has %q", got)
	}
	if got := text.Clean("a\tb\nc\x00\u202e", "\t\n"); got != "a\tb\nc" {
		t.Errorf("clean, it is %q", got)
	}
}

// Each of the refused ranges, from its first to its last, and no more.
func TestControlRanges(t *testing.T) {
	for c := rune(0); c <= 0x3000; c++ {
		want := c <= 0x1f || c >= 0x7f && c <= 0x9f || c >= 0x202a && c <= 0x202e || c >= 0x2066 && c <= 0x2069
		if got := text.Control(string(c), "") != ""; got != want {
			t.Errorf("%U: refused %v", c, got)
		}
	}
}

func TestBlank(t *testing.T) {
	for s, want := range map[string]bool{
		"": true, "\u00a0\u2003": true, "\u200b": true, "\u3164\u2800": true, "\ufeff\u00ad": true, "\U000e0041": true, "\u200d\ufe0f": true,
		"x": false, "\u200bx": false, "👨‍👩‍👧‍👦": false, "\u0301": false, "\ue000": false,
	} {
		if got := text.Blank(s); got != want {
			t.Errorf("%q is blank: %v", s, got)
		}
	}
}

func TestInvisible(t *testing.T) {
	for _, c := range " \u00a0\u00ad\u034f\u061c\u115f\u1160\u17b4\u180e\u200b\u200c\u200d\u200e\u200f\u2028\u202e\u202f\u2060\u2064\u2066\u206f\u2800\u3000\u3164\ufe0f\ufeff\uffa0\U000e0001\U000e0100\x00\x1b\u0085" {
		if got := text.Invisible("a" + string(c) + "b"); !strings.HasPrefix(got, "U+") {
			t.Errorf("%U is not found: %q", c, got)
		}
	}
	for _, s := range []string{"", "ada@bücher.example", "日本", "a\u0301", "https://example.com/?a=b%20c"} {
		if got := text.Invisible(s); got != "" {
			t.Errorf("%q has %q", s, got)
		}
	}
}
