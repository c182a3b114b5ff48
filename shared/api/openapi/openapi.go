// Package openapi holds the description of the public API (OpenAPI 3.1), which
// the tests hold against what the functions really answer.
package openapi

import _ "embed"

// Document is the description, as JSON.
//
//go:embed openapi.json
var Document []byte
