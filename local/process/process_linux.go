package process

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

func setOrphanSignal(attr *syscall.SysProcAttr, s syscall.Signal) { attr.Pdeathsig = s }

func setAnyFile(attr *syscall.SysProcAttr) { attr.AmbientCaps = []uintptr{unix.CAP_DAC_OVERRIDE} }

// reap waits for the child's death, calls last while its pid is still taken,
// and returns how it died.
func reap(cmd *exec.Cmd, last func()) error {
	for {
		err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			break
		}
	}
	last()
	return cmd.Wait()
}
