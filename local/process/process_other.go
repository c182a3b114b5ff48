//go:build !linux

package process

import (
	"os/exec"
	"syscall"
)

func setOrphanSignal(*syscall.SysProcAttr, syscall.Signal) {}

func setAnyFile(*syscall.SysProcAttr) {}

// reap waits for the child's death, calls last, and returns how it died.
func reap(cmd *exec.Cmd, last func()) error {
	err := cmd.Wait()
	last()
	return err
}
