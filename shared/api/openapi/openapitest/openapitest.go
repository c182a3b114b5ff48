// Package openapitest holds answers of the public API against its description.
package openapitest

import (
	"bytes"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/duebell/duebell/shared/api/openapi"
)

// description is the document, read and ready to check with.
type description struct {
	paths    map[string]any
	compiler *jsonschema.Compiler
	document any

	mu      sync.Mutex
	schemas map[string]*jsonschema.Schema // by their place in the document
}

var read = sync.OnceValues(func() (*description, error) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(openapi.Document))
	if err != nil {
		return nil, err
	}
	d := &description{document: document, compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}}
	d.compiler.AssertFormat()
	d.compiler.RegisterFormat(&jsonschema.Format{Name: "date-time", Validate: inUTC})
	d.paths = document.(map[string]any)["paths"].(map[string]any)
	return d, d.compiler.AddResource("openapi.json", document)
})

// inUTC refuses what is no time in UTC: answers have no others.
func inUTC(value any) error {
	text, ok := value.(string)
	if !ok {
		return nil // its type says what is wrong
	}
	if _, err := time.Parse(time.RFC3339, text); err != nil || !strings.HasSuffix(text, "Z") {
		return fmt.Errorf("it is no time in UTC")
	}
	return nil
}

// Check fails t if an answer is not as the description says: its path, method,
// status and media type must be there, its headers too, and its body must be of
// the schema. Paths outside /api/, those of Dapr, and HEAD are nobody's concern here.
func Check(t testing.TB, method, path string, status int, header http.Header, body []byte) {
	t.Helper()
	if !strings.HasPrefix(path, "/api/") && !strings.HasPrefix(path, "/m/") || strings.HasPrefix(path, "/api/jobs/") || method == http.MethodHead {
		return
	}
	d, err := read()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.check(method, path, status, header, body); err != nil {
		t.Errorf("%s %s is not answered as the description says: %v\n%d %.500s", method, path, err, status, body)
	}
}

func (d *description) check(method, path string, status int, header http.Header, body []byte) error {
	if status == http.StatusMethodNotAllowed {
		return nil // a function knows only its own part of the description
	}
	path, _, _ = strings.Cut(path, "?")
	template, ok := d.template(path)
	if !ok {
		if status == http.StatusNotFound {
			return nil
		}
		return fmt.Errorf("it has no such path")
	}
	place := "/paths/" + escape(template)
	item := d.paths[template].(map[string]any)
	operation, ok := item[strings.ToLower(method)].(map[string]any)
	if !ok {
		return fmt.Errorf("it has no such method")
	}
	place += "/" + strings.ToLower(method) + "/responses/" + strconv.Itoa(status)
	response, ok := operation["responses"].(map[string]any)[strconv.Itoa(status)].(map[string]any)
	if !ok {
		return fmt.Errorf("it has no such status")
	}
	if ref, ok := response["$ref"].(string); ok {
		place = strings.TrimPrefix(ref, "#")
		response = d.at(place).(map[string]any)
	}
	headers, _ := response["headers"].(map[string]any)
	for name, h := range headers {
		if h.(map[string]any)["required"] == true && header.Get(name) == "" {
			return fmt.Errorf("the header %s is missing", name)
		}
	}
	if response["content"] == nil {
		return nil
	}
	mediaType, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	content, ok := response["content"].(map[string]any)[mediaType].(map[string]any)
	if !ok {
		return fmt.Errorf("it has no media type %q there", mediaType)
	}
	if !strings.HasSuffix(mediaType, "json") || content["schema"] == nil {
		return nil
	}
	schema, err := d.schema(place + "/content/" + escape(mediaType) + "/schema")
	if err != nil {
		return err
	}
	values := [][]byte{body}
	if strings.HasSuffix(mediaType, "ndjson") {
		values = bytes.Split(bytes.TrimSuffix(body, []byte("\n")), []byte("\n")) // the schema is each line's
	}
	for _, text := range values {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return err
		}
		if err := schema.Validate(value); err != nil {
			return err
		}
	}
	return nil
}

// template returns the description's path for a real one; one without parameters
// goes first.
func (d *description) template(path string) (string, bool) {
	if _, ok := d.paths[path]; ok {
		return path, true
	}
	parts := strings.Split(path, "/")
	for template := range d.paths {
		if matches(strings.Split(template, "/"), parts) {
			return template, true
		}
	}
	return "", false
}

func matches(template, parts []string) bool {
	if len(template) != len(parts) {
		return false
	}
	for i, part := range template {
		if part != parts[i] && !strings.HasPrefix(part, "{") {
			return false
		}
	}
	return true
}

// at returns what is at a JSON pointer of plain names.
func (d *description) at(pointer string) any {
	value := d.document
	for name := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		value = value.(map[string]any)[name]
	}
	return value
}

func (d *description) schema(place string) (*jsonschema.Schema, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.schemas[place]; s != nil {
		return s, nil
	}
	s, err := d.compiler.Compile("openapi.json#" + place)
	if err == nil {
		d.schemas[place] = s
	}
	return s, err
}

// escape writes a name as a part of a JSON pointer in a URL (RFC 6901).
func escape(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(name)
}
