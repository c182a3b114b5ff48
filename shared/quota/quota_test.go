package quota_test

import (
	"strings"
	"testing"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/quota"
	"github.com/duebell/duebell/shared/task"
)

// The defaults are valid, and each channel has its own.
func TestDefaults(t *testing.T) {
	rules, err := config.Parse[quota.Rules](nil)
	if err != nil {
		t.Fatal(err)
	}
	l := rules.Limits
	if l.PerHour[task.SMS] != 30 || l.PerDay[task.Email] != 500 || l.PerRecipient[task.Email] != 1000 {
		t.Errorf("%+v", l)
	}
	if got := rules.Prices.Of("+15551234567").String() + " of " + rules.Ceiling.Daily.String(); got != "0.1 of 100" {
		t.Error(got)
	}
	for _, c := range quota.Metered {
		if l.PerHour[c] == 0 || l.PerDay[c] < l.PerHour[c] {
			t.Errorf("%s: %d an hour, %d a day", c, l.PerHour[c], l.PerDay[c])
		}
	}
}

// What is wrong is said with the variable's name, and with what to write instead.
func TestBadConfiguration(t *testing.T) {
	for _, tt := range []struct{ set, want string }{
		{"QUOTA_PER_HOUR=email=1", "QUOTA_PER_HOUR must name each of email, push, sms, webhook: add push=0"},
		{"QUOTA_PER_HOUR=email", "like email=200,push=500"},
		{"QUOTA_PER_HOUR=email=-1,push=0,sms=0,webhook=0", "0 for no limit"},
		{"QUOTA_PER_HOUR=email=1.5,push=0,sms=0,webhook=0", "a whole number"},
		{"QUOTA_PER_HOUR=email=99999999999,push=0,sms=0,webhook=0", "a whole number"},
		{"QUOTA_PER_DAY=email=1,email=2,push=0,sms=0,webhook=0", "email is there twice"},
		{"QUOTA_PER_DAY=in_app=1", "with one of email, push, sms, webhook"},
		{"QUOTA_PER_RECIPIENT=email=1,sms=1,push=1", "QUOTA_PER_RECIPIENT counts only email, sms: leave out push"},
		{"SMS_ALLOWED_PREFIXES=1,44", `"1" is no beginning of a phone number; write it like +1`},
		{"SMS_ALLOWED_PREFIXES=+1,+0", `"+0" is no beginning`},
		{"SMS_ALLOWED_PREFIXES=US", `"US" is no beginning`},
		{"SMS_PRICES=+1=0.01", "SMS_PRICES must have a price for every other number: add *=0.10"},
		{"SMS_PRICES=*=0.10,US=1", "write it like +1=0.01"},
		{"SMS_PRICES=*=0.10,*=1", "* is there twice"},
		{"SMS_PRICES=*=-0.10", "write it like 0.05"},
		{"SMS_PRICES=*=", "write it like 0.05"},
		{"SMS_DAILY_COST=1e3", "write it like 0.05 or 100"},
		{"SMS_DAILY_COST=0.0000001", "six decimals at most"},
		{"SMS_DAILY_COST=99999999999", "1000000000 at most"},
	} {
		name, _, _ := strings.Cut(tt.set, "=")
		_, err := config.Parse[quota.Rules]([]string{tt.set})
		if err == nil || !strings.HasPrefix(err.Error(), name) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.set, err, tt.want)
		}
	}
}

// The longest beginning of a number says what a message to it costs.
func TestPrices(t *testing.T) {
	rules, err := config.Parse[quota.Rules]([]string{"SMS_PRICES=+1=0.0079,*=0.1,+49=0.08,+4915=0.075,+2=0", "SMS_ALLOWED_PREFIXES=+1,+49,+2,+7"})
	if err != nil {
		t.Fatal(err)
	}
	for number, want := range map[string]string{
		"+15551234567": "0.0079", "+491512345678": "0.075", "+493012345678": "0.08", "+27123456789": "0", "+79001234567": "0.1",
		"+447700900000": "0", // which is refused
	} {
		if got := rules.Cost(task.SMS, number).String(); got != want {
			t.Errorf("%s costs %s, want %s", number, got, want)
		}
	}
	if got := rules.Cost(task.Email, "ada@example.com"); got != 0 {
		t.Errorf("an e-mail costs %s", got)
	}
}

// Numbers of no country are refused unless they are named; with a list, all that are not on it.
func TestPrefixes(t *testing.T) {
	for _, tt := range []struct {
		allowed, number string
		want            bool
	}{
		{"", "+15551234567", true},
		{"", "+447700900000", true},
		{"", "+8613912345678", true}, // China is one
		{"", "+85212345678", true},   // and so is Hong Kong
		{"", "+8821612345678", false},
		{"", "+870773111111", false},
		{"", "+979123456789", false},
		{"+882", "+8821612345678", true},
		{"+1,+4915", "+15551234567", true},
		{"+1,+4915", "+491512345678", true},
		{"+1,+4915", "+493012345678", false},
		{"+1,+4915", "+447700900000", false},
	} {
		rules, err := config.Parse[quota.Rules]([]string{"SMS_ALLOWED_PREFIXES=" + tt.allowed})
		if err != nil {
			t.Fatal(err)
		}
		problem := rules.Prefixes.Refuses(task.SMS, tt.number)
		if (problem == "") != tt.want || problem != "" && !strings.Contains(problem, "give ") {
			t.Errorf("%q allows %s: %q", tt.allowed, tt.number, problem)
		}
		if problem := rules.Prefixes.Refuses(task.Webhook, tt.number); problem != "" {
			t.Errorf("a webhook: %s", problem)
		}
	}
}
