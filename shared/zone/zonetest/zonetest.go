// Package zonetest makes small releases of time zones for tests.
package zonetest

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/duebell/duebell/shared/zone"
)

// Release makes a release with zones whose clocks are never changed: by name, how far each is ahead
// of UTC.
func Release(t testing.TB, name string, zones map[string]time.Duration) *zone.Data {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	err := w.SetComment(name)
	for zoneName, ahead := range zones {
		f, createErr := w.Create(zoneName)
		if createErr != nil {
			t.Fatal(createErr)
		}
		if _, writeErr := f.Write(fixed(ahead)); writeErr != nil {
			t.Fatal(writeErr)
		}
	}
	if closeErr := w.Close(); err != nil || closeErr != nil {
		t.Fatal(err, closeErr)
	}
	d, err := zone.Open(out.String())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// fixed is a file in the format of RFC 9636, version 1, with one type of time and no change.
func fixed(ahead time.Duration) []byte {
	file := append([]byte("TZif"), make([]byte, 16)...)
	const times, types, characters = 0, 1, 4
	for _, count := range []uint32{0, 0, 0, times, types, characters} {
		file = binary.BigEndian.AppendUint32(file, count)
	}
	file = binary.BigEndian.AppendUint32(file, uint32(int32(ahead/time.Second))) //nolint:gosec // a day at most
	return append(file, 0, 0, 'X', 'X', 'X', 0)
}
