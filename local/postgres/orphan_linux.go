package postgres

import (
	"os"
	"strconv"
)

// serves reports whether process pid is a server on data: servers work in their
// data directory.
func serves(pid int, data string) bool {
	at, err := os.Stat("/proc/" + strconv.Itoa(pid) + "/cwd")
	if err != nil {
		return false
	}
	here, err := os.Stat(data)
	return err == nil && os.SameFile(at, here)
}
