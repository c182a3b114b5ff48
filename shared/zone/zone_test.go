package zone

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// Where governments have decided since the release that the toolchain has (2025c), people
// read the time that their clocks show.
func TestWinter2026(t *testing.T) {
	at := time.Date(2026, 12, 15, 12, 0, 0, 0, time.UTC)
	for name, want := range map[string]string{
		"America/Vancouver": "05:00 -0700", "America/Edmonton": "06:00 -0600", "Africa/Casablanca": "12:00 +0000",
		"America/Winnipeg": "07:00 -0500", "America/Havana": "08:00 -0400", "America/New_York": "07:00 -0500", "Europe/Paris": "13:00 +0100",
		// Other names for these.
		"Canada/Pacific": "05:00 -0700", "US/Pacific": "04:00 -0800", "Europe/Kiev": "14:00 +0200", "Europe/Kyiv": "14:00 +0200", "Asia/Calcutta": "17:30 +0530",
		"Asia/Kolkata": "17:30 +0530", "Etc/UTC": "12:00 +0000", "UTC": "12:00 +0000", "GMT": "12:00 +0000", "Etc/GMT+5": "07:00 -0500", "EST5EDT": "07:00 -0500", "Zulu": "12:00 +0000",
	} {
		location, ok := Load(name)
		if !ok {
			t.Errorf("there is no %s", name)
			continue
		}
		if got := at.In(location).Format("15:04 -0700"); got != want || location.String() != name {
			t.Errorf("in %s it is %s, want %s", location, got, want)
		}
	}
	if Release() < "2026f" {
		t.Errorf("the release is %s", Release())
	}
}

// Every zone can be read, by several at the same time, and what is none is refused.
func TestLoad(t *testing.T) {
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for name := range Pinned().files {
				if location, ok := Load(name); !ok || location.String() != name {
					t.Errorf("%s: %v, %v", name, location, ok)
				}
			}
		})
	}
	group.Wait()
	for _, name := range []string{"", "Local", "localtime", "posixrules", "Factory", "Europe", "Europe/", "europe/paris", "Europe/../UTC", "/etc/localtime", "right/UTC", "posix/UTC", "zone.tab", "tzdata.zi", "Mars/Olympus", "Europe\\Paris"} {
		if _, ok := Load(name); ok {
			t.Errorf("%q is a zone", name)
		}
	}
}

// Nothing loads a zone past this package, whatever release it would get.
func TestNobodyElseLoadsZones(t *testing.T) {
	forbidden := regexp.MustCompile(`\btime\.LoadLocation\(|"time/tzdata"`)
	files := 0
	err := filepath.WalkDir(filepath.Join("..", ".."), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, filepath.Join("zone", "zone_test.go")) {
			return err
		}
		files++
		text, err := os.ReadFile(path)
		if found := forbidden.Find(text); found != nil {
			t.Errorf("%s has %s: use zone.Load", path, found)
		}
		return err
	})
	if err != nil || files < 100 {
		t.Errorf("%d files, %v", files, err)
	}
}
