package providers_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/providers"
	"github.com/duebell/duebell/shared/task"
)

func TestOpen(t *testing.T) {
	const key, region, server, from = "SENDGRID_API_KEY=x", "SES_REGION=eu-central-1", "SMTP_ADDRESS=mail.x.org:587", "EMAIL_FROM=a@x.org"
	for name, tt := range map[string]struct {
		environ []string
		email   string // its providers
		problem string
	}{
		"nothing":               {nil, "", ""},
		"all that are there":    {[]string{key, from}, "sendgrid", ""},
		"in their order":        {[]string{server, region, key, from}, "sendgrid ses smtp", ""},
		"in another order":      {[]string{server, region, key, from, "EMAIL_PROVIDERS=smtp,sendgrid"}, "smtp sendgrid", ""},
		"as named":              {[]string{key, from, "EMAIL_PROVIDERS= sendgrid "}, "sendgrid", ""},
		"no sender":             {[]string{key}, "", "EMAIL_FROM is missing"},
		"no such provider":      {[]string{key, from, "EMAIL_PROVIDERS=pigeon"}, "", `EMAIL_PROVIDERS must be a list of sendgrid, ses, smtp`},
		"no such SMS provider":  {[]string{"SMS_PROVIDERS=pigeon"}, "", `SMS_PROVIDERS must be a list of twilio, sns`},
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
			channels, err := providers.Open(cfg, nil)
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

// The help of a list of providers has the order in which they are tried, which the settings' table shows.
func TestHelpHasTheOrder(t *testing.T) {
	for _, name := range []string{"EmailProviders", "SMSProviders"} {
		field, _ := reflect.TypeFor[providers.Config]().FieldByName(name)
		_, err := config.Parse[providers.Config]([]string{field.Tag.Get("env") + "=pigeon"})
		if err == nil {
			t.Fatalf("%s takes a pigeon", name)
		}
		_, order, _ := strings.Cut(err.Error(), "must be a list of ")
		order, _, _ = strings.Cut(order, ", separated")
		if help := field.Tag.Get("help"); order == "" || !strings.HasSuffix(help, "in the order "+order) {
			t.Errorf("%s: the help says %q, the order is %q", name, help, order)
		}
	}
}
