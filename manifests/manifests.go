// Package manifests holds the files that Duebell is deployed with.
package manifests

import "embed"

// Local holds the Dapr resources of the local system, in the folder local.
//
//go:embed local/*.yaml
var Local embed.FS

// Subscriptions holds who is brought which events, in the folder subscriptions. It is
// the same everywhere.
//
//go:embed subscriptions/*.yaml
var Subscriptions embed.FS
