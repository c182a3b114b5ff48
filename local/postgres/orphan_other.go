//go:build !linux

package postgres

import (
	"os/exec"
	"strconv"
	"strings"
)

// serves reports whether process pid is a server on data, by its command line.
func serves(pid int, data string) bool {
	said, err := exec.Command("ps", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(said), "postgres") && strings.Contains(string(said), data)
}
