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

// file is a file to serve, in the forms that it is kept in. The last one is as it is; those
// before are compressed, the smallest first.
type file struct {
	contentType string
	forms       []form
}

// form is a file's content, compressed or not.
type form struct {
	encoding string // as HTTP calls it; "" means as it is
	content  []byte
	etag     string
}

// encodings are those that the build makes, by the ends of names, the smallest first.
var encodings = [][2]string{{".br", "br"}, {".gz", "gzip"}, {"", ""}}

// readFiles reads all files of a folder, by their paths in it. There are none if there is no
// such folder.
func readFiles(from fs.FS, folder string) (map[string]file, error) {
	raw := map[string][]byte{}
	if _, err := fs.Stat(from, folder); err != nil {
		return nil, nil //nolint:nilerr // it was not made
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

// typeOf returns the media type by a name's end. It asks no table of the machine.
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

// accepted returns the smallest form that an Accept-Encoding header takes.
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
