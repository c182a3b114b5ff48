package zone

import (
	"strings"
	"testing"
	"time"

	"github.com/duebell/duebell/shared/fault"
)

func TestGet(t *testing.T) {
	for _, name := range []string{"Europe/Paris", "Europe/Kiev", "Asia/Calcutta", "US/Pacific", "UTC"} {
		if location, err := Get(name); err != nil || location.String() != name {
			t.Errorf("%s: %v, %v", name, location, err)
		}
	}
	for wrong, near := range map[string]string{
		"europe/paris": "Europe/Paris", "Europe/Pariss": "Europe/Paris", "Paris": "Europe/Paris", "New York": "America/New_York",
		"America/New York": "America/New_York", "America/NewYork": "America/New_York", "Amerika/New_York": "America/New_York", "Berln": "Europe/Berlin",
		"Europe/Kyyiv": "Europe/Kyiv", "utc": "UTC", "Asia\\Tokyo": "Asia/Tokyo", " Europe/Rome ": "Europe/Rome",
		"Mars/Olympus": "", "": "", "Local": "", "+02:00": "", "GMT+25": "Etc/GMT+2", strings.Repeat("Europe/Paris", 1000): "",
	} {
		_, err := Get(wrong)
		if fault.CodeOf(err) != fault.CodeInvalid {
			t.Errorf("%q: %v", wrong, err)
			continue
		}
		_, said, _ := strings.Cut(err.Error(), "did you mean ")
		if said = strings.Trim(said, `"?`); said != near {
			t.Errorf("%.40q: near is %q, want %q", wrong, said, near)
		}
		if len(err.Error()) > 300 {
			t.Errorf("an error of %d characters", len(err.Error()))
		}
	}
}

// The search for a near name costs an attacker more than us.
func TestGetIsQuick(t *testing.T) {
	began := time.Now()
	for range 100 {
		_, _ = Get(strings.Repeat("Y", maxName))
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("100 searches took %v", took)
	}
}
