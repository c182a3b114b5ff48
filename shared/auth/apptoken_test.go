package auth

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/fault"
)

func TestAppToken(t *testing.T) {
	const old, current = "old-token-0123456789", "new-token-0123456789"
	both, err := config.Parse[AppToken]([]string{"APP_API_TOKEN=" + old + "," + current})
	if err != nil {
		t.Fatal(err)
	}
	one := AppToken{Tokens: []config.Secret{current}}
	for name, test := range map[string]struct {
		token   AppToken
		headers []string
		good    bool
	}{
		"the one":                    {one, []string{current}, true},
		"another":                    {one, []string{old}, false},
		"a part":                     {one, []string{current[:10]}, false},
		"more":                       {one, []string{current + "x"}, false},
		"none":                       {one, nil, false},
		"empty":                      {one, []string{""}, false},
		"twice":                      {one, []string{current, current}, false},
		"the old":                    {both, []string{old}, true},
		"the new":                    {both, []string{current}, true},
		"both at once":               {both, []string{old + "," + current}, false},
		"not set":                    {AppToken{}, nil, false},
		"not set, sent":              {AppToken{}, []string{""}, false},
		"set to empty":               {AppToken{Tokens: []config.Secret{""}}, []string{""}, false},
		"set to empty, nothing sent": {AppToken{Tokens: []config.Secret{""}}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/job/x", nil)
			for _, value := range test.headers {
				r.Header.Add("dapr-api-token", value)
			}
			err := test.token.Check(r)
			if test.good && err != nil || !test.good && fault.CodeOf(err) != fault.CodeUnauthenticated {
				t.Errorf("Check = %v, want good = %v", err, test.good)
			}
		})
	}
}

func TestAppTokenConfig(t *testing.T) {
	const good = "0123456789abcdef"
	for value, want := range map[string]string{
		good:                               "",
		good + "," + good:                  "",
		"":                                 "APP_API_TOKEN is missing",
		good[:15]:                          "APP_API_TOKEN must have at least 16 characters",
		good + ",":                         "APP_API_TOKEN must have at least 16 characters",
		good + "," + good[:15]:             "APP_API_TOKEN must have at least 16 characters",
		good + " x":                        "APP_API_TOKEN must have at least 16 characters, and no spaces",
		strings.Repeat(good+",", 2) + good: "APP_API_TOKEN must not be more than 2 tokens",
	} {
		_, err := config.Parse[AppToken]([]string{"APP_API_TOKEN=" + value})
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", value, err, want)
		}
		if err != nil && strings.Contains(err.Error(), good[:15]) {
			t.Errorf("%q: the error shows the token: %v", value, err)
		}
	}
}
