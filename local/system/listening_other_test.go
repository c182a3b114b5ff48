//go:build !linux

package system_test

import "testing"

// listening cannot tell on this system.
func listening(*testing.T, int) []string { return nil }
