package main

import (
	"crypto/sha256"
	"encoding/base64"
	"io/fs"
	"mime"
	"path"
	"strconv"
	"strings"
)

// file is a file to serve, with its compressed forms, the smallest first. The last form is not
// compressed.
type file struct {
	contentType string
	forms       []form
}

// form is a file's content, compressed or not.
type form struct {
	encoding string // as in HTTP; "": not compressed
	content  []byte
	etag     string
}

// encodings are the forms that the build makes, by their suffixes, the smallest first.
var encodings = [][2]string{{".br", "br"}, {".gz", "gzip"}, {"", ""}}

// readFiles reads all files of a folder, by their paths in it. A folder that does not exist has
// none.
func readFiles(from fs.FS, folder string) (map[string]file, error) {
	raw := map[string][]byte{}
	if _, err := fs.Stat(from, folder); err != nil {
		return nil, nil //nolint:nilerr // the folder was not built
	}
	err := fs.WalkDir(from, folder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		raw[strings.TrimPrefix(name, folder+"/")], err = fs.ReadFile(from, name)
		return err
	})
	files := map[string]file{}
	for name := range raw {
		if ending := path.Ext(name); ending == ".br" || ending == ".gz" {
			continue
		}
		f := file{contentType: typeOf(name)}
		for _, e := range encodings {
			if content, ok := raw[name+e[0]]; ok {
				hash := sha256.Sum256(content)
				f.forms = append(f.forms, form{encoding: e[1], content: content, etag: `"` + base64.RawURLEncoding.EncodeToString(hash[:12]) + `"`})
			}
		}
		files[name] = f
	}
	return files, err
}

// typeOf returns the media type by a name's suffix. It does not depend on the machine's tables.
func typeOf(name string) string {
	switch ending := path.Ext(name); ending {
	case ".html", ".css", ".js", ".svg", ".json":
		return mime.TypeByExtension(ending)
	case ".png":
		return "image/png"
	case ".webmanifest":
		return "application/manifest+json"
	case ".md", ".txt":
		return "text/plain; charset=utf-8"
	default:
		return "application/octet-stream"
	}
}

// accepted returns the smallest form that an Accept-Encoding header allows.
func (f file) accepted(header string) form {
	takes := map[string]bool{"": true}
	for part := range strings.SplitSeq(header, ",") {
		name, parameters, _ := strings.Cut(part, ";")
		weight, given := strings.CutPrefix(strings.ToLower(strings.TrimSpace(parameters)), "q=")
		q, err := strconv.ParseFloat(weight, 64)
		takes[strings.ToLower(strings.TrimSpace(name))] = !given || err == nil && q > 0
	}
	for _, form := range f.forms {
		if takes[form.encoding] {
			return form
		}
	}
	return f.forms[len(f.forms)-1]
}
