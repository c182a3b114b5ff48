package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/notify/webpush"
	"github.com/duebell/duebell/shared/vapid"
)

// makeKeys makes the keys of Web Push, and prints them as settings.
func makeKeys(_ context.Context, args []string) error {
	flags := flag.NewFlagSet("vapid", flag.ContinueOnError)
	subject := flags.String("subject", "mailto:ops@example.com", "where the operators of push services reach you: mailto: and an e-mail address, or an https URL")
	if err := parse(flags, args); err != nil {
		return err
	}
	key, err := vapid.New()
	if err != nil {
		return err
	}
	private, err := key.Private()
	if err != nil {
		return err
	}
	cfg := webpush.Config{Keys: vapid.Keys{Keys: []config.Secret{private}}, Public: vapid.Public{Key: key.Public}, Subject: *subject}
	if err := cfg.Validate(); err != nil {
		return err
	}
	return writeKeys(os.Stdout, key.Public, private, *subject)
}

// writeKeys writes settings that a shell can read, with instructions in comments.
func writeKeys(out io.Writer, public string, private config.Secret, subject string) error {
	_, err := fmt.Fprintf(out, `# The keys of Web Push. WEBPUSH_KEY is the private one: whoever has it can send to your users'
# browsers. Keep it: browsers subscribe for WEBPUSH_PUBLIC_KEY, and take nothing that is signed
# with another. GET /api/preferences shows the public key to pages.
WEBPUSH_KEY=%s
WEBPUSH_PUBLIC_KEY=%s
WEBPUSH_SUBJECT='%s'

# With these lines in webpush.env, on a cluster:
#   . ./webpush.env && kubectl -n duebell patch secret duebell-channels -p "{\"stringData\":{\"WEBPUSH_KEY\":
#     \"$WEBPUSH_KEY\",\"WEBPUSH_PUBLIC_KEY\":\"$WEBPUSH_PUBLIC_KEY\",\"WEBPUSH_SUBJECT\":\"$WEBPUSH_SUBJECT\"}}"
# and restart send, trigger-reminder, retry-dlq and preferences. If there is a key already, put it
# behind the new one, after a comma: docs/security.md says for how long.
`, private.Reveal(), public, strings.ReplaceAll(subject, "'", `'\''`))
	return err
}
