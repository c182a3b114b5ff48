package system_test

import (
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// listening returns the TCP addresses that a process listens on.
func listening(t *testing.T, pid int) []string {
	t.Helper()
	sockets := map[string]bool{}
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && strings.HasPrefix(target, "socket:[") {
			sockets[strings.Trim(target, "socket:[]")] = true
		}
	}
	var addresses []string
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			// sl, local address, remote address, state (0A: listening), ..., inode
			if fields := strings.Fields(line); len(fields) > 9 && fields[3] == "0A" && sockets[fields[9]] {
				addresses = append(addresses, decode(t, fields[1]))
			}
		}
	}
	if len(addresses) == 0 {
		t.Errorf("process %d does not listen at all", pid)
	}
	return addresses
}

// decode turns the kernel's form of an address, words in the machine's byte order,
// into the usual one.
func decode(t *testing.T, address string) string {
	t.Helper()
	host, port, _ := strings.Cut(address, ":")
	ip, err := hex.DecodeString(host)
	if err != nil {
		t.Fatal(err)
	}
	for word := range slices.Chunk(ip, 4) {
		slices.Reverse(word)
	}
	number, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort(net.IP(ip).String(), strconv.FormatUint(number, 10))
}
