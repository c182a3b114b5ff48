package suppress_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/suppress"
	"github.com/duebell/duebell/shared/task"
)

const (
	first  = "first-key-of-at-least-32-characters"
	second = "second-key-of-at-least-32-characters"
)

func keys(list ...config.Secret) suppress.Keys { return suppress.Keys{Keys: list} }

func TestHashes(t *testing.T) {
	k := keys(first)
	ada, tagged := k.Hashes(task.Email, "ada@example.com"), k.Hashes(task.Email, "Ada+x@EXAMPLE.com")
	if len(ada.Mailbox) != 1 || !bytes.Equal(ada.Mailbox[0], tagged.Mailbox[0]) || bytes.Equal(ada.Exact[0], tagged.Exact[0]) {
		t.Errorf("%x and %x are two addresses of one mailbox", ada, tagged)
	}
	if same := k.Hashes(task.Email, "ADA@Example.com"); !bytes.Equal(same.Exact[0], ada.Exact[0]) {
		t.Errorf("%x and %x are one address", ada, same)
	}
	seen := map[string]string{}
	for what, a := range map[string]suppress.Address{
		"ada": ada, "bob": k.Hashes(task.Email, "bob@example.com"), "a phone": k.Hashes(task.SMS, "+15551234567"),
		"by another key": keys(second).Hashes(task.Email, "ada@example.com"), "on another channel": k.Hashes(task.SMS, "ada@example.com"),
	} {
		for _, hash := range slices.Concat(a.Mailbox, a.Exact) {
			if other, ok := seen[string(hash)]; ok {
				t.Errorf("%s and %s are the same", what, other)
			}
			seen[string(hash)] = what
		}
	}
	both := keys(second, first).Hashes(task.Email, "ada@example.com").Mailbox
	if want := slices.Concat(keys(second).Hashes(task.Email, "ada@example.com").Mailbox, ada.Mailbox); len(both) != 2 || !slices.EqualFunc(both, want, bytes.Equal) {
		t.Errorf("by two keys: %x, want %x", both, want)
	}
	for _, none := range []suppress.Address{keys().Hashes(task.Email, "ada@example.com"), k.Hashes(task.Push, "fcm:x")} {
		if none.Mailbox != nil || none.Exact != nil {
			t.Errorf("without a key, or of a device: %x", none)
		}
	}
}

func TestChannel(t *testing.T) {
	for address, want := range map[string]task.Channel{
		"ada@example.com": task.Email, "ada@bücher.example": task.Email, "+15551234567": task.SMS,
		"": "", "ada": "", "5551234567": "", "ada@": "", "Ada <ada@example.com>": "", "+1 555 1234567": "", "ada@localhost": "",
	} {
		if got, err := suppress.Channel(address); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", address, got, err)
		}
	}
}

func TestConfig(t *testing.T) {
	for environ, want := range map[string]string{
		"": "", "SUPPRESSION_KEY=" + first: "", "SUPPRESSION_KEY=" + first + "," + second + "," + first: "",
		"SUPPRESSION_KEY=short-key": "at least 32", "SUPPRESSION_KEY=" + first + ",": "at least 32",
	} {
		cfg, err := config.Parse[suppress.Keys](strings.Fields(environ))
		switch {
		case want == "" && err != nil, want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v", environ, err)
		case err != nil && strings.Contains(err.Error(), "short-key"), strings.Contains(fmt.Sprintf("%+v %#v", cfg, cfg), first):
			t.Errorf("%s: the key is told", environ)
		}
	}
	if err := keys().Needed([]config.Secret{first}); err == nil {
		t.Error("links work although what they stop could not be remembered")
	}
	for _, err := range []error{keys().Needed(nil), keys(first).Needed(nil), keys(first).Needed([]config.Secret{second})} {
		if err != nil {
			t.Error(err)
		}
	}
}
