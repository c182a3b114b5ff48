package dapr

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
)

// mostUnpacked is the largest program that is unpacked, in bytes. Dapr's have less than 300 MB.
const mostUnpacked = 1 << 30

// unpack takes both programs from the archives of Dapr's release. On Linux, for example, daprd is in
// daprd_linux_amd64.tar.gz, and the archive's published checksum is beside it in
// daprd_linux_amd64.tar.gz.sha256. The archives of scheduler have the same form of name.
func (o FindOptions) unpack(ctx context.Context, into string) error {
	for _, program := range []string{"daprd", "scheduler"} {
		archive := filepath.Join(o.Archives, fmt.Sprintf("%s_%s_%s.tar.gz", program, runtime.GOOS, runtime.GOARCH))
		o.Report("unpacking " + filepath.Base(archive))
		if err := check(archive); err != nil {
			return err
		}
		if err := extract(archive, program, filepath.Join(into, program)); err != nil {
			return fmt.Errorf("%s: %w", archive, err)
		}
	}
	if found, err := in(into); err != nil {
		return err
	} else if is := found.version(ctx); is != Version {
		return fmt.Errorf("the archives in %s are of Dapr %q; download those of %s", o.Archives, is, Version)
	}
	return nil
}

// check compares an archive with its checksum. A file beside the archive has the checksum, in the
// format of sha256sum.
func check(archive string) error {
	text, err := os.ReadFile(archive + ".sha256")
	if err != nil {
		return fmt.Errorf("the checksum that Dapr publishes beside the archive is needed, too: %w", err)
	}
	want, _, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return err
	}
	if is := hex.EncodeToString(sum.Sum(nil)); !strings.EqualFold(is, want) {
		return fmt.Errorf("%s has the SHA-256 %s, and %s.sha256 says %s; download both again", archive, is, filepath.Base(archive), want)
	}
	return nil
}

// extract writes the program that an archive holds to a file.
func extract(archive, program, to string) (err error) {
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer file.Close()
	plain, err := gzip.NewReader(file)
	if err != nil {
		return err
	}
	entries := tar.NewReader(plain)
	for {
		entry, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("there is no %s in it", program)
		}
		if err != nil {
			return err
		}
		if entry.Typeflag == tar.TypeReg && path.Base(entry.Name) == program {
			if entry.Size > mostUnpacked {
				return fmt.Errorf("%s has %d bytes, and no program of Dapr's is that large", program, entry.Size)
			}
			break
		}
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, entries)
	return err
}
