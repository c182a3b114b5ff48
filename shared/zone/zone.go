// Package zone has the time zones of the world, of a release that is pinned here. The zones
// of the toolchain and of the machine may be older, and then people would be told at wrong times. So
// nothing else loads a zone. `make tzdata` brings the next release.
package zone

import (
	"archive/zip"
	_ "embed"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// zones.zip has a file for each name, aliases too, in the format of RFC 9636; its comment is
// the release.
//
//go:embed zones.zip
var zones string

// Data is one release of the time zones. It may be used concurrently.
type Data struct {
	release string
	files   map[string]*zip.File
	loaded  sync.Map // those that were asked for before, by their names
}

// Open reads a release in the format of zones.zip. Only tests need it; others use [Pinned].
func Open(zipped string) (*Data, error) {
	r, err := zip.NewReader(strings.NewReader(zipped), int64(len(zipped)))
	if err != nil {
		return nil, fmt.Errorf("open the time zones: %w", err)
	}
	d := &Data{release: r.Comment, files: make(map[string]*zip.File, len(r.File))}
	for _, f := range r.File {
		d.files[f.Name] = f
	}
	return d, nil
}

// Pinned returns the release that is embedded here.
var Pinned = sync.OnceValue(func() *Data {
	d, err := Open(zones)
	if err != nil {
		panic(err) // a test has read it
	}
	return d
})

// Load returns the zone of an IANA name, such as "Europe/Paris", or of an older name for one,
// such as "Asia/Calcutta". ok is false if there is no such zone. "Local" is no zone.
func (d *Data) Load(name string) (location *time.Location, ok bool) {
	if known, ok := d.loaded.Load(name); ok {
		return known.(*time.Location), true
	}
	file, ok := d.files[name]
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
	d.loaded.Store(name, location)
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

// Release returns the name of the release, such as "2026f". The names of releases sort by their
// age.
func (d *Data) Release() string { return d.release }

// Load is [Data.Load] of the release that is embedded here.
func Load(name string) (location *time.Location, ok bool) { return Pinned().Load(name) }

// Release returns the name of the release that is embedded here.
func Release() string { return Pinned().Release() }
