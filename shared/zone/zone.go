// Package zone has the time zones of the world, of a release that is pinned here: those
// of the toolchain and of the machine may be older, and tell people wrong times. So nothing
// else loads a zone. `make tzdata` brings the next release.
package zone

import (
	"archive/zip"
	_ "embed"
	"io"
	"strings"
	"sync"
	"time"
)

// zones.zip has a file for each name, aliases too, in the format of RFC 9636; its comment is
// the release.
//
//go:embed zones.zip
var data string

// archive is zones.zip, opened.
type archive struct {
	release string
	files   map[string]*zip.File
}

var opened = sync.OnceValue(func() archive {
	r, err := zip.NewReader(strings.NewReader(data), int64(len(data)))
	if err != nil {
		panic(err) // a test has read it
	}
	a := archive{r.Comment, make(map[string]*zip.File, len(r.File))}
	for _, f := range r.File {
		a.files[f.Name] = f
	}
	return a
})

// loaded are the zones that were asked for before, by their names.
var loaded sync.Map

// Load returns the zone of an IANA name, such as "Europe/Paris", or of an older name for one,
// such as "Asia/Calcutta". ok is false if there is none of that name; "Local" is none. It may
// be called concurrently.
func Load(name string) (location *time.Location, ok bool) {
	if known, ok := loaded.Load(name); ok {
		return known.(*time.Location), true
	}
	file, ok := opened().files[name]
	if !ok {
		return nil, false
	}
	rules, err := read(file)
	if err == nil {
		location, err = time.LoadLocationFromTZData(name, rules)
	}
	if err != nil {
		panic(err) // a test has read it
	}
	loaded.Store(name, location)
	return location, true
}

func read(file *zip.File) ([]byte, error) {
	f, err := file.Open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// Release returns the name of the release, such as "2026f".
func Release() string { return opened().release }
