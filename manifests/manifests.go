// Package manifests holds the files that Duebell is deployed with.
package manifests

import "embed"

// Local holds the Dapr resources of the local system, in the folder local.
//
//go:embed local/*.yaml
var Local embed.FS

// Configuration and Resiliency are what daprd is told, in a cluster and on this machine.
var (
	//go:embed dapr/configuration.yaml
	Configuration []byte
	//go:embed dapr/resiliency.yaml
	Resiliency []byte
)

// Subscriptions holds who is brought which events, in the folder subscriptions. It is
// the same everywhere.
//
//go:embed subscriptions/*.yaml
var Subscriptions embed.FS
