package process

import (
	"os/exec"
	"runtime"
	"syscall"
)

// Run runs a program to its end, as cmd.Run does. The program has a process group of its own, which
// is killed if the command's context ends. On Linux it does not outlive this program.
func Run(cmd *exec.Cmd) error {
	runtime.LockOSThread() // see supervise
	defer runtime.UnlockOSThread()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	setOrphanSignal(cmd.SysProcAttr, syscall.SIGKILL)
	if cmd.Cancel != nil { // it was made with a context
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	}
	return cmd.Run()
}
