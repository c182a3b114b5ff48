package providers_test

import (
	"strings"
	"testing"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/providers"
	"github.com/duebell/duebell/shared/task"
)

func TestOpen(t *testing.T) {
	const key, from = "SENDGRID_API_KEY=x", "EMAIL_FROM=a@x.org"
	for name, tt := range map[string]struct {
		environ []string
		email   string // its providers
		problem string
	}{
		"nothing":               {nil, "", ""},
		"all that are there":    {[]string{key, from}, "sendgrid", ""},
		"as named":              {[]string{key, from, "EMAIL_PROVIDERS= sendgrid "}, "sendgrid", ""},
		"no sender":             {[]string{key}, "", "EMAIL_FROM is missing"},
		"no such provider":      {[]string{key, from, "EMAIL_PROVIDERS=pigeon"}, "", `EMAIL_PROVIDERS must be a list of sendgrid`},
		"named twice":           {[]string{key, from, "EMAIL_PROVIDERS=sendgrid,sendgrid"}, "", "EMAIL_PROVIDERS must name sendgrid only once"},
		"named, and not set up": {[]string{from, "EMAIL_PROVIDERS=sendgrid"}, "", "EMAIL_PROVIDERS must not name sendgrid: its own settings are missing"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := config.Parse[providers.Config](tt.environ)
			if tt.problem != "" {
				if err == nil || !strings.Contains(err.Error(), tt.problem) {
					t.Errorf("got %v, want %s", err, tt.problem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			channels, err := providers.Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, p := range channels[task.Email] {
				names = append(names, p.Name)
			}
			if got := strings.Join(names, " "); got != tt.email {
				t.Errorf("e-mail by %q, want %q", got, tt.email)
			}
		})
	}
}
