// release makes the archives of a release: for each platform the program duebell, all functions and the licences of what
// they are made of; beside each archive the list of that (SBOM, in SPDX); and the checksums of all.
//
// The version is the one that Go writes into each program: the commit's tag, or a pseudo-version without one. The same
// commit, built with the same Go, makes the same archives.
//
// Usage: release -root FOLDER [-platforms linux/amd64,darwin/arm64]; release -root FOLDER -licences rewrites docs/licences.md.
package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/module"

	"github.com/duebell/duebell/tools/release/licences"
)

// platforms are those that Duebell is released for. docs/licences.md lists what is linked on any of them.
const platforms = "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64"

func main() {
	var o options
	flag.StringVar(&o.root, "root", ".", "the repository's folder")
	list := flag.String("platforms", platforms, "what to build for, with commas between")
	page := flag.Bool("licences", false, "rewrite docs/licences.md, and build nothing")
	flag.Parse()
	o.platforms = strings.Split(*list, ",")
	o.programs = []string{"./cmd/duebell", "./functions/..."}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	work := o.release
	if *page {
		work = o.writePage
	}
	err := work(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

type options struct {
	root      string
	platforms []string
	programs  []string // the packages to build
}

// writePage writes docs/licences.md.
func (o options) writePage(ctx context.Context) error {
	parts, err := licences.Collect(ctx, o.root, strings.Split(platforms, ","))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(o.root, "docs", "licences.md"), []byte(licences.Report(parts)), 0o644)
}

// release fills build/release anew.
func (o options) release(ctx context.Context) error {
	root, err := filepath.Abs(o.root)
	if err != nil {
		return err
	}
	o.root = root
	if err := o.check(ctx); err != nil {
		return err
	}
	committed, err := o.git(ctx, "log", "-1", "--format=%ct")
	if err != nil {
		return err
	}
	seconds, err := strconv.ParseInt(committed, 10, 64)
	if err != nil {
		return err
	}
	at := time.Unix(seconds, 0).UTC()
	parts, err := licences.Collect(ctx, o.root, o.platforms)
	if err != nil {
		return err
	}
	dir := filepath.Join(o.root, "build", "release")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	var version string
	var made []string
	for _, platform := range o.platforms {
		bin, built, err := o.build(ctx, platform)
		if err != nil {
			return fmt.Errorf("%s: %w", platform, err)
		}
		if version == "" {
			version = built
			err = o.checkVersion(version)
		} else if built != version {
			err = fmt.Errorf("the checkout was %s, and is %s now: it has changed meanwhile", version, built)
		}
		if err != nil {
			return err
		}
		name := "duebell-" + version + "-" + strings.ReplaceAll(platform, "/", "-")
		if err := o.pack(dir, name, bin, version, at, parts); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Println(filepath.Join(dir, name+".tar.gz"))
		made = append(made, name+".tar.gz", name+".spdx.json")
	}
	return writeSums(dir, made)
}

// check says what keeps this checkout from being released.
func (o options) check(ctx context.Context) error {
	if changes, err := o.git(ctx, "status", "--porcelain"); err != nil {
		return err
	} else if changes != "" {
		return errors.New("there are changes that are not committed; a release is made of a commit")
	}
	if _, err := os.Stat(filepath.Join(o.root, "functions", "console", "web", "dist", "index.html")); err != nil && slices.Contains(o.programs, "./functions/...") {
		return errors.New("the console's web part is not built: make console")
	}
	return nil
}

func (o options) git(ctx context.Context, args ...string) (string, error) {
	command := exec.CommandContext(ctx, "git", args...)
	command.Dir, command.Stderr = o.root, os.Stderr
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w", args[0], err)
	}
	return strings.TrimSpace(string(out)), nil
}

// build builds the programs for one platform into a new folder. It returns that, and the version that Go has written into
// the programs.
func (o options) build(ctx context.Context, platform string) (bin, version string, err error) {
	bin = filepath.Join(o.root, "build", "release-bin", strings.ReplaceAll(platform, "/", "-"))
	if err := errors.Join(os.RemoveAll(bin), os.MkdirAll(bin, 0o755)); err != nil {
		return "", "", err
	}
	system, processor, _ := strings.Cut(platform, "/")
	build := exec.CommandContext(ctx, "go", append([]string{"build", "-trimpath", "-buildvcs=true", "-ldflags=-s -w", "-o", bin + "/"}, o.programs...)...)
	build.Dir, build.Stderr = o.root, os.Stderr
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOOS="+system, "GOARCH="+processor)
	if err := build.Run(); err != nil {
		return "", "", fmt.Errorf("go build: %w", err)
	}
	programs, err := filesIn(bin)
	if err != nil {
		return "", "", err
	}
	info, err := buildinfo.ReadFile(programs[0].path)
	if err != nil {
		return "", "", err
	}
	return bin, info.Main.Version, nil
}

// pack writes the archive of the programs in bin, and its SBOM, into dir.
func (o options) pack(dir, name, bin, version string, at time.Time, parts []licences.Part) error {
	programs, err := filesIn(bin)
	if err != nil {
		return err
	}
	archive := filepath.Join(dir, name+".tar.gz")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := writeArchive(archive, name, slices.Concat(programs, o.papers(parts)), at); err != nil {
		return err
	}
	return writeSBOM(filepath.Join(dir, name+".spdx.json"), archive, version, at, programs, parts)
}

// checkVersion refuses a tagged version that the changelog does not tell of.
func (o options) checkVersion(version string) error {
	if strings.HasSuffix(version, "+dirty") {
		return errors.New("the checkout has changed meanwhile; a release is made of a commit")
	}
	if module.IsPseudoVersion(version) {
		return nil
	}
	changes, err := os.ReadFile(filepath.Join(o.root, "CHANGELOG.md"))
	if err != nil {
		return err
	}
	if want := "\n## [" + strings.TrimPrefix(version, "v") + "]"; !strings.Contains(string(changes), want) {
		return fmt.Errorf("CHANGELOG.md has no heading %q", strings.TrimSpace(want))
	}
	return nil
}

// file is one file of an archive. It is at path, or it is text.
type file struct {
	name string
	path string
	text []byte
	mode int64
}

// filesIn returns the programs in a folder.
func filesIn(dir string) (list []file, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		list = append(list, file{name: e.Name(), path: filepath.Join(dir, e.Name()), mode: 0o755})
	}
	return list, err
}

// papers are the files beside the programs.
func (o options) papers(parts []licences.Part) []file {
	list := []file{{name: "NOTICES.txt", text: licences.Notices(parts), mode: 0o644}}
	for _, name := range []string{"LICENSE", "README.md", "CHANGELOG.md"} {
		list = append(list, file{name: name, path: filepath.Join(o.root, name), mode: 0o644})
	}
	return list
}

// writeArchive writes files into a compressed tar archive, below the folder top. All have the time at, and no owner.
func writeArchive(path, top string, files []file, at time.Time) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer out.Close()
	compressed, err := gzip.NewWriterLevel(out, gzip.BestCompression)
	if err != nil {
		return err
	}
	w := tar.NewWriter(compressed)
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	for _, f := range files {
		if f.path != "" {
			if f.text, err = os.ReadFile(f.path); err != nil {
				return err
			}
		}
		header := tar.Header{Typeflag: tar.TypeReg, Name: top + "/" + f.name, Size: int64(len(f.text)), Mode: f.mode, ModTime: at, Format: tar.FormatUSTAR}
		if err := w.WriteHeader(&header); err != nil {
			return err
		}
		if _, err := w.Write(f.text); err != nil {
			return err
		}
	}
	return errors.Join(w.Close(), compressed.Close(), out.Close())
}

// sum returns the SHA-256 of a file, as hexadecimal digits.
func sum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return fmt.Sprintf("%x", h.Sum(nil)), err
}

// writeSums writes SHA256SUMS, as sha256sum -c reads it.
func writeSums(dir string, names []string) error {
	var out strings.Builder
	for _, name := range names {
		digits, err := sum(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&out, "%s  %s\n", digits, name)
	}
	return os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(out.String()), 0o644)
}
